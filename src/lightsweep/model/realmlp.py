"""RealMLP with tuned defaults: Holzmueller et al., "Better by Default", NeurIPS 2024, arXiv 2407.04491."""

from typing import Any

import torch
from torch import Tensor

from lightsweep.model.module import MLPModule
from lightsweep.task import Task

ACTIVATIONS = {True: "mish", False: "selu"}  # of a regression, of a classification
LABEL_SMOOTHING = 0.1
LR_OF_REGRESSION = 5.0  # times that of a classification: 0.2 and 0.04


class RealMLPModule(MLPModule):
    """The MLP whose activation, label smoothing and learning rate follow the task, where they are null in the config.

    The learning rate of a regression is `LR_OF_REGRESSION` times that of the config. Its predictions stay within the
    targets of the training rows.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        *,
        d_out: int,
        task: Task = Task.MULTICLASS,
        activation: str | None,
        label_smoothing: float | None,
        **mlp: Any,
    ) -> None:
        is_regression = Task(task).is_regression
        smoothing = (0.0 if is_regression else LABEL_SMOOTHING) if label_smoothing is None else label_smoothing
        super().__init__(
            d_out=d_out,
            task=task,
            activation=activation or ACTIVATIONS[is_regression],
            label_smoothing=smoothing,
            **mlp,
        )
        if is_regression:
            self.register_buffer("low", torch.full((d_out,), -torch.inf))
            self.register_buffer("high", torch.full((d_out,), torch.inf))

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data: Any = getattr(self.trainer, "datamodule", None)
        if stage == "fit" and self.task.is_regression and hasattr(data, "splits"):
            y = data.splits.train[1].reshape(-1, len(self.low))
            self.low.copy_(y.min(dim=0).values)
            self.high.copy_(y.max(dim=0).values)

    def parameter_groups(self) -> list[dict[str, Any]]:
        groups = [dict(group) for group in super().parameter_groups()]
        if self.task.is_regression:
            for group in groups:
                group["lr_factor"] *= LR_OF_REGRESSION
        return groups

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return out if self.training or not self.task.is_regression else torch.clamp(out, self.low, self.high)
