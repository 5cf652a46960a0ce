"""The model as its user sees it: probabilities, or values in the unit of the targets."""

import torch
from torch import Tensor, nn

from lightsweep.data.splits import Scaler
from lightsweep.data.target import Target
from lightsweep.data.tensors import EVAL_BATCH_SIZE


class InferenceModel(nn.Module):
    """A model followed by softmax, or by the inverse scaling of the targets; `scaler` adds the scaling of the features.

    Shape: `(batch, d_in)` in; `(batch, n_classes)` probabilities out in float32, or `(batch, n_targets)` values in
    float64, which large units such as seconds since 1970 need.
    """

    target_mean: Tensor
    target_std: Tensor
    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, model: nn.Module, target: Target, *, scaler: Scaler | None = None) -> None:
        super().__init__()
        self.model = model
        self.is_regression = target.task.is_regression
        self.scales_features = scaler is not None
        self._add_buffer("target_mean", target.scaler.mean if target.scaler else 0.0, torch.float64)
        self._add_buffer("target_std", target.scaler.std if target.scaler else 1.0, torch.float64)
        if scaler is not None:
            self._add_buffer("feature_mean", scaler.mean, torch.float32)
            self._add_buffer("feature_std", scaler.std, torch.float32)

    def _add_buffer(self, name: str, values: object, dtype: torch.dtype) -> None:
        self.register_buffer(name, torch.as_tensor(values, dtype=dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.scales_features:
            x = (x - self.feature_mean) / self.feature_std
        outputs: Tensor = self.model(x).float()
        if self.is_regression:
            return outputs.double() * self.target_std + self.target_mean
        return torch.softmax(outputs, dim=1)


@torch.inference_mode()
def predict_in_batches(model: InferenceModel, x: Tensor) -> Tensor:
    return torch.cat([model(batch) for batch in torch.split(x, EVAL_BATCH_SIZE)])
