"""From what a model computes to what its user reads: probabilities, or values in the targets' own unit."""

import torch
from torch import Tensor, nn

from lightsweep.data.splits import Scaler
from lightsweep.data.target import Target


class InferenceModel(nn.Module):
    """A model with its last step, and with `scaler` also its first: then it takes features in their own unit.

    Shape: `(batch, d_in)` in; `(batch, n_classes)` or `(batch, n_targets)` out: float32, and
    for values, whose own unit may need them, float64.
    """

    unit: Tensor
    zero: Tensor
    std: Tensor
    mean: Tensor

    def __init__(self, model: nn.Module, target: Target, *, scaler: Scaler | None = None) -> None:
        super().__init__()
        self.model = model
        self.is_regression = target.task.is_regression
        _keep(self, "unit", target.scaler.std if target.scaler else 1.0, dtype=torch.float64)
        _keep(self, "zero", target.scaler.mean if target.scaler else 0.0, dtype=torch.float64)
        self.scales = scaler is not None
        if scaler is not None:
            _keep(self, "std", scaler.std)
            _keep(self, "mean", scaler.mean)

    def forward(self, x: Tensor) -> Tensor:
        if self.scales:
            x = (x - self.mean) / self.std
        outputs: Tensor = self.model(x).float()
        return outputs.double() * self.unit + self.zero if self.is_regression else torch.softmax(outputs, dim=1)


def _keep(module: nn.Module, name: str, values: object, *, dtype: torch.dtype = torch.float32) -> None:
    module.register_buffer(name, torch.as_tensor(values, dtype=dtype), persistent=False)
