"""A classifier that goes wrong in a way that depends on its size, for the tests of failing trials."""

from typing import Any

import torch
from torch import Tensor

from lightsweep.model.classifier import MLPClassifier


class FaultyClassifier(MLPClassifier):
    """16 units raise in the first step, 24 report NaN, 32 report infinity, any other number works."""

    def __init__(self, *, hidden_size: int, **kwargs: Any) -> None:
        super().__init__(hidden_size=hidden_size, **kwargs)
        self.hidden_size = hidden_size

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        if self.hidden_size == 16:
            raise RuntimeError("this size does not work")
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        if self.hidden_size in (24, 32):
            self.log("val/acc", torch.tensor(float("nan" if self.hidden_size == 24 else "inf")))
        else:
            super().validation_step(batch, batch_idx)
