"""A module whose validations log given values, and its fit with a real trainer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from torch import Tensor

from lightsweep.data.batches import TensorBatches

N_BATCHES = 2


class Scripted(L.LightningModule):
    """Logs the next value as `val/acc` in each validation, and 9 in a sanity check."""

    def __init__(self, values: Sequence[float]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.values = list(values)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self.weight.sum()  # each step subtracts 1 from the weight, so that it counts the steps

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        if batch_idx == 0:
            self.value = 9.0 if self.trainer.sanity_checking else self.values.pop(0)
        self.log("val/acc", torch.tensor(self.value, dtype=torch.float64), batch_size=1)


class Phases(Scripted):
    """Also logs a metric `name`, with arguments of `log` for each phase: 0.9 in training, the value in validation."""

    def __init__(self, values: Sequence[float], *, name: str, **phases: dict[str, Any]) -> None:
        super().__init__(values)
        self.name = name
        self.phases = phases

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        if "train" in self.phases:
            self.log(self.name, 0.9, batch_size=1, **self.phases["train"])
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        if "val" in self.phases:
            self.log(self.name, torch.tensor(self.value, dtype=torch.float64), batch_size=1, **self.phases["val"])


def batches() -> TensorBatches:
    return TensorBatches(torch.zeros(N_BATCHES, 1), torch.zeros(N_BATCHES), batch_size=1, shuffle_seed=None)


def fit(
    values: Sequence[float],
    *,
    callbacks: Sequence[L.Callback],
    ckpt_path: Path | None = None,
    model: L.LightningModule | None = None,
    **arguments: Any,
) -> L.Trainer:
    """Train for `max_epochs`, by default one epoch for each value."""
    trainer = L.Trainer(callbacks=list(callbacks), **{"max_epochs": len(values), "logger": False, **arguments})
    trainer.fit(model or Scripted(values), batches(), batches(), ckpt_path=ckpt_path, weights_only=True)
    return trainer
