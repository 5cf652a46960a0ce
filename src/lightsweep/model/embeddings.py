"""Vectors in place of numbers and of categories, for a network that takes vectors.

Those of numbers are from Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep
Learning", NeurIPS 2022, https://arxiv.org/abs/2203.05556.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lightsweep.model.mlp import check_is_one_of

KINDS = ("none", "piecewise_linear", "periodic")
Quantiles = Callable[[int], Tensor]


class Embeddings(nn.Module):
    """The numbers of a row, embedded or as they are, then its truths as they are, then the vectors of its categories.

    Shape: `(batch, n_numbers + n_truths + len(cardinalities))` in, where truths are 0 or 1, as in a one-hot column, and
    the last columns hold the codes of categories; and `(batch, d_out)` out. A code that is not known counts as code 0.
    Raises `ConfigError` if `kind` is not one of `KINDS`.
    """

    def __init__(
        self,
        *,
        n_numbers: int,
        n_booleans: int = 0,
        cardinalities: Sequence[int],
        kind: str,
        size: int,
        n_bins: int,
        quantiles: Quantiles | None,
        n_frequencies: int,
        frequency_scale: float,
        category_size: int | None,
    ) -> None:
        super().__init__()
        check_is_one_of("model.number_embedding", kind, KINDS)
        self.n_numbers = n_numbers
        self.n_plain = n_numbers + n_booleans
        self.numbers: nn.Module = nn.Identity()
        self.d_out = n_numbers
        if n_numbers and kind != "none":
            if kind == "piecewise_linear":
                encoding: nn.Module = PiecewiseLinear(_edges(quantiles, n_numbers=n_numbers, n_bins=n_bins))
                d_encoding = n_bins
            else:
                encoding = Periodic(n_numbers=n_numbers, n_frequencies=n_frequencies, scale=frequency_scale)
                d_encoding = 2 * n_frequencies
            linear = PerNumberLinear(n_numbers=n_numbers, d_in=d_encoding, d_out=size)
            self.numbers = nn.Sequential(encoding, linear, nn.ReLU(), nn.Flatten())
            self.d_out = n_numbers * size
        self.d_out += n_booleans
        self.categories = nn.ModuleList(nn.Embedding(n, category_size or usual_size(n)) for n in cardinalities)
        self.has_any = len(self.categories) > 0 or not isinstance(self.numbers, nn.Identity)
        self.d_out += sum(table.embedding_dim for table in self.categories if isinstance(table, nn.Embedding))

    def forward(self, x: Tensor) -> Tensor:
        codes = x[:, self.n_plain :].long()
        vectors = [self.numbers(x[:, : self.n_numbers])] if self.n_numbers else []
        vectors.append(x[:, self.n_numbers : self.n_plain])
        for i, table in enumerate(self.categories):
            assert isinstance(table, nn.Embedding)
            known = (codes[:, i] >= 0) & (codes[:, i] < table.num_embeddings)
            vectors.append(table(torch.where(known, codes[:, i], 0)))
        return torch.cat(vectors, dim=1)


def usual_size(cardinality: int) -> int:
    """1.6 n^0.56, at most 100: the rule that fastai found to do well over many tables."""
    return min(100, round(1.6 * math.pow(cardinality, 0.56)))


class PiecewiseLinear(nn.Module):
    """Of each bin how much of it lies below the number: 1 for the bins to its left, 0 for those to its right.

    The first bin goes on below its edge and the last above it. A bin without width, of a column with few values, is 0.

    Shape: `(batch, n_numbers)` in, `(batch, n_numbers, n_bins)` out, `edges` `(n_numbers, n_bins + 1)`.
    """

    left: Tensor
    per_width: Tensor
    at_least: Tensor
    at_most: Tensor

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        width = edges.diff(dim=1)
        n_bins = width.shape[1]
        self.register_buffer("left", edges[:, :-1].clone())
        self.register_buffer("per_width", torch.where(width > 0, 1 / width, 0.0))
        is_first = torch.arange(n_bins) == 0
        is_last = torch.arange(n_bins) == n_bins - 1
        self.register_buffer("at_least", torch.where(is_first, -math.inf, 0.0), persistent=False)
        self.register_buffer("at_most", torch.where(is_last, math.inf, 1.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        share = (x.unsqueeze(2) - self.left) * self.per_width
        return torch.minimum(torch.maximum(share, self.at_least), self.at_most)


class Periodic(nn.Module):
    """Sine and cosine of the number times frequencies that are learned, from a normal distribution of width `scale`.

    Shape: `(batch, n_numbers)` in, `(batch, n_numbers, 2 * n_frequencies)` out.
    """

    def __init__(self, *, n_numbers: int, n_frequencies: int, scale: float) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(scale * torch.randn(n_numbers, n_frequencies))

    def forward(self, x: Tensor) -> Tensor:
        angle = 2 * math.pi * self.frequencies * x.unsqueeze(2)
        return torch.cat([angle.sin(), angle.cos()], dim=2)


class PerNumberLinear(nn.Module):
    """A linear layer of its own for each number: `(batch, n_numbers, d_in)` in, `(batch, n_numbers, d_out)` out."""

    def __init__(self, *, n_numbers: int, d_in: int, d_out: int) -> None:
        super().__init__()
        limit = d_in**-0.5  # as in `nn.Linear`
        self.weight = nn.Parameter(torch.empty(n_numbers, d_in, d_out).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.empty(n_numbers, d_out).uniform_(-limit, limit))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.einsum("bni,nio->bno", x, self.weight) + self.bias
        return out


def _edges(quantiles: Quantiles | None, *, n_numbers: int, n_bins: int) -> Tensor:
    if quantiles is None:  # a data module of the user's own, with standardised numbers as all models take them
        edges = torch.linspace(-2, 2, n_bins + 1)
        return edges.expand(n_numbers, n_bins + 1)
    return quantiles(n_bins)
