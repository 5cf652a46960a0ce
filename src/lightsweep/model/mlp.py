"""A multilayer perceptron."""

from torch import Tensor, nn

from lightsweep.errors import ConfigError
from lightsweep.model.dropout import Dropout

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
}


class MLP(nn.Module):
    """`n_layers` hidden layers of `hidden_size` units, each with activation and dropout, then a linear output.

    Shape: `(batch, d_in)` in, `(batch, d_out)` out.
    Raises `ConfigError` if the activation is not one of `ACTIVATIONS`.
    """

    def __init__(
        self, *, d_in: int, d_out: int, n_layers: int, hidden_size: int, dropout_rate: float, activation: str
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ConfigError(f"model.activation is '{activation}'; it must be one of {', '.join(ACTIVATIONS)}.")
        layers: list[nn.Module] = []
        for _ in range(n_layers):
            layers += [nn.Linear(d_in, hidden_size), ACTIVATIONS[activation](), Dropout(dropout_rate)]
            d_in = hidden_size
        self.layers = nn.Sequential(*layers, nn.Linear(d_in, d_out))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits
