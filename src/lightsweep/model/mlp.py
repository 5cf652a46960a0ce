"""A multilayer perceptron."""

from collections.abc import Callable, Collection, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from lightsweep.errors import ConfigError
from lightsweep.model.layers import NTKLinear, ParametricActivation, Scaling

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "selu": nn.SELU,
    "mish": nn.Mish,
}
LINEAR: dict[str, Callable[[int, int], nn.Module]] = {"standard": nn.Linear, "ntk": NTKLinear}


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

    With `residual`, each hidden layer as wide as the hidden layer before it has a skip connection. `parametrization`,
    `parametric_activation` and `scaling_layer` are those of RealMLP, see `lightsweep.model.layers`.

    Shape: `(batch, d_in)` in, `(batch, d_out)` out.
    Raises `ConfigError` if the activation, the normalization or the parametrization is unknown.
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
        parametrization: str = "standard",
        parametric_activation: bool = False,
        scaling_layer: bool = False,
    ) -> None:
        super().__init__()
        check_is_one_of("model.activation", activation, ACTIVATIONS)
        check_is_one_of("model.normalization", normalization, NORMALIZATIONS)
        check_is_one_of("model.parametrization", parametrization, LINEAR)
        norm, linear = NORMALIZATIONS[normalization], LINEAR[parametrization]
        layers: list[nn.Module] = []
        front = [Scaling(d_in)] if scaling_layer else []
        for size in sizes:
            normed = [norm(size)] if norm else []
            bent = ACTIVATIONS[activation]()
            bent = ParametricActivation(bent, size) if parametric_activation else bent
            layer = [linear(d_in, size), *normed, bent, nn.Dropout(dropout_rate)]
            layers += [Residual(nn.Sequential(*layer))] if residual and size == d_in and layers else layer
            d_in = size
        self.layers = nn.Sequential(*front, *layers, linear(d_in, d_out))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def check_is_one_of(key: str, value: str, known: Collection[str]) -> None:
    """Raise `ConfigError` if the value of a config key is not among the known ones."""
    if value not in known:
        raise ConfigError(f"{key} is '{value}'; it must be one of {', '.join(known)}.")
