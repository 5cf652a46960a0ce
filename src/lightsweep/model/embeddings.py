"""Embeddings of numeric features and of categories.

Those of numeric features are from Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular
Deep Learning", NeurIPS 2022, https://arxiv.org/abs/2203.05556.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lightsweep.errors import ConfigError
from lightsweep.model.mlp import check_is_one_of

KINDS = ("none", "piecewise_linear", "periodic", "pbld")
Quantiles = Callable[[int], Tensor]


class Embeddings(nn.Module):
    """The concatenation of embedded (or plain) numeric features, plain booleans and embedded categories.

    Shape: `(batch, n_numbers + n_booleans + len(cardinalities))` in, `(batch, d_out)` out. Booleans are 0 or 1, and the
    last columns hold category codes. An unknown code counts as code 0.
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
        embeds_numbers = n_numbers > 0 and kind != "none"
        self.is_identity = not embeds_numbers and not cardinalities
        self.numbers: nn.Module = nn.Identity()
        if embeds_numbers:
            if kind == "pbld":
                self.numbers = PBLD(n_numbers=n_numbers, n_frequencies=n_frequencies, scale=frequency_scale, size=size)
            else:
                encoding: PiecewiseLinear | Periodic = (
                    PiecewiseLinear(_bin_edges(quantiles, n_numbers=n_numbers, n_bins=n_bins))
                    if kind == "piecewise_linear"
                    else Periodic(n_numbers=n_numbers, n_frequencies=n_frequencies, scale=frequency_scale)
                )
                linear = LinearPerNumber(n_numbers=n_numbers, d_in=encoding.d_out, d_out=size)
                self.numbers = nn.Sequential(encoding, linear, nn.ReLU(), nn.Flatten())
        sizes = [category_size or default_category_size(n) for n in cardinalities]
        self.categories = nn.ModuleList(nn.Embedding(*shape) for shape in zip(cardinalities, sizes, strict=True))
        self.d_out = n_numbers * (size if embeds_numbers else 1) + n_booleans + sum(sizes)

    def forward(self, x: Tensor) -> Tensor:
        codes = x[:, self.n_plain :].long()
        vectors = [self.numbers(x[:, : self.n_numbers])] if self.n_numbers else []
        vectors.append(x[:, self.n_numbers : self.n_plain])
        for i, table in enumerate(self.categories):
            assert isinstance(table, nn.Embedding)
            known = (codes[:, i] >= 0) & (codes[:, i] < table.num_embeddings)
            vectors.append(table(torch.where(known, codes[:, i], 0)))
        return torch.cat(vectors, dim=1)


def default_category_size(cardinality: int) -> int:
    """Return fastai's rule for the size of a category's embedding: 1.6 n^0.56, at most 100."""
    return min(100, round(1.6 * math.pow(cardinality, 0.56)))


class PiecewiseLinear(nn.Module):
    """The piecewise linear encoding: for each bin, the share of it that lies below the number.

    The share is 1 for bins left of the number and 0 for bins right of it. It is not limited below the first edge and
    above the last one. A bin of width 0, which a feature with few values has, is encoded as 0.

    Shape: `(batch, n_numbers)` in, `(batch, n_numbers, n_bins)` out; `edges` is `(n_numbers, n_bins + 1)`.
    """

    left: Tensor
    per_width: Tensor
    at_least: Tensor
    at_most: Tensor

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        width = edges.diff(dim=1)
        self.d_out = width.shape[1]
        is_first = torch.arange(self.d_out) == 0
        is_last = torch.arange(self.d_out) == self.d_out - 1
        self.register_buffer("left", edges[:, :-1].clone())
        self.register_buffer("per_width", torch.where(width > 0, 1 / width, 0.0))
        self.register_buffer("at_least", torch.where(is_first, -math.inf, 0.0), persistent=False)
        self.register_buffer("at_most", torch.where(is_last, math.inf, 1.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        share = (x.unsqueeze(2) - self.left) * self.per_width
        return torch.minimum(torch.maximum(share, self.at_least), self.at_most)


class Periodic(nn.Module):
    """Sine and cosine of the number at learned frequencies, which start as a normal sample of deviation `scale`.

    Shape: `(batch, n_numbers)` in, `(batch, n_numbers, 2 * n_frequencies)` out.
    """

    def __init__(self, *, n_numbers: int, n_frequencies: int, scale: float) -> None:
        super().__init__()
        self.d_out = 2 * n_frequencies
        self.frequencies = nn.Parameter(scale * torch.randn(n_numbers, n_frequencies))

    def forward(self, x: Tensor) -> Tensor:
        angle = 2 * math.pi * self.frequencies * x.unsqueeze(2)
        return torch.cat([angle.sin(), angle.cos()], dim=2)


class LinearPerNumber(nn.Module):
    """A separate linear layer for each number: `(batch, n_numbers, d_in)` in, `(batch, n_numbers, d_out)` out."""

    def __init__(self, *, n_numbers: int, d_in: int, d_out: int) -> None:
        super().__init__()
        limit = d_in**-0.5  # as in `nn.Linear`
        self.weight = nn.Parameter(torch.empty(n_numbers, d_in, d_out).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.empty(n_numbers, d_out).uniform_(-limit, limit))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.einsum("bni,nio->bno", x, self.weight) + self.bias
        return out


class PBLD(nn.Module):
    """The number itself, and a linear map of cosines of it at learned frequencies and phases.

    "Periodic bias linear DenseNet" of RealMLP, arXiv 2407.04491. The frequencies start as a normal sample of deviation
    `scale`.

    Shape: `(batch, n_numbers)` in, `(batch, n_numbers * size)` out. Raises `ConfigError` if `size` is below 2.
    """

    def __init__(self, *, n_numbers: int, n_frequencies: int, scale: float, size: int) -> None:
        super().__init__()
        if size < 2:
            raise ConfigError(f"model.number_embedding_size is {size}; for pbld it must be at least 2.")
        self.frequencies = nn.Parameter(scale * torch.randn(n_numbers, n_frequencies))
        self.phases = nn.Parameter(math.pi * (2 * torch.rand(n_numbers, n_frequencies) - 1))
        self.linear = LinearPerNumber(n_numbers=n_numbers, d_in=n_frequencies, d_out=size - 1)

    def forward(self, x: Tensor) -> Tensor:
        waves = (2 * math.pi * self.frequencies * x.unsqueeze(2) + self.phases).cos()
        return torch.cat([self.linear(waves).flatten(1), x], dim=1)


def _bin_edges(quantiles: Quantiles | None, *, n_numbers: int, n_bins: int) -> Tensor:
    if quantiles is None:  # a user's data module without quantiles; its features are taken to be standardised
        return torch.linspace(-2, 2, n_bins + 1).expand(n_numbers, n_bins + 1)
    return quantiles(n_bins)
