"""A multilayer perceptron."""

from collections.abc import Collection, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from lightsweep.errors import ConfigError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
}


class BatchNorm(nn.BatchNorm1d):
    """`nn.BatchNorm1d` that uses the running statistics for a training batch of one row, instead of an error."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


NORMALIZATIONS: dict[str, type[nn.Module] | None] = {"none": None, "batch": BatchNorm, "layer": nn.LayerNorm}


class Residual(nn.Module):
    """A skip connection: the input plus the output of `block`, both of the same shape."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        sum_: Tensor = x + self.block(x)
        return sum_


class MLP(nn.Module):
    """Hidden layers of `sizes` units, each with normalization, activation and dropout, then a linear output.

    With `residual`, each hidden layer as wide as the hidden layer before it has a skip connection.

    Shape: `(batch, d_in)` in, `(batch, d_out)` out.
    Raises `ConfigError` if the activation or the normalization is unknown.
    """

    def __init__(
        self,
        *,
        d_in: int,
        d_out: int,
        sizes: Sequence[int],
        dropout_rate: float,
        activation: str,
        normalization: str,
        residual: bool,
    ) -> None:
        super().__init__()
        check_is_one_of("model.activation", activation, ACTIVATIONS)
        check_is_one_of("model.normalization", normalization, NORMALIZATIONS)
        norm = NORMALIZATIONS[normalization]
        layers: list[nn.Module] = []
        for size in sizes:
            normed = [norm(size)] if norm else []
            layer = [nn.Linear(d_in, size), *normed, ACTIVATIONS[activation](), nn.Dropout(dropout_rate)]
            layers += [Residual(nn.Sequential(*layer))] if residual and size == d_in and layers else layer
            d_in = size
        self.layers = nn.Sequential(*layers, nn.Linear(d_in, d_out))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def check_is_one_of(key: str, value: str, known: Collection[str]) -> None:
    """Raise `ConfigError` if the value of a config key is not among the known ones."""
    if value not in known:
        raise ConfigError(f"{key} is '{value}'; it must be one of {', '.join(known)}.")
