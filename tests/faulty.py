"""A classifier that goes wrong in a way that depends on its size, for the tests of failing trials."""

import time
import weakref
from pathlib import Path
from typing import Any, ClassVar

import torch
from hydra.core.hydra_config import HydraConfig
from torch import Tensor

from lightsweep.model.module import MLPModule


class FaultyClassifier(MLPModule):
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


class SlowClassifier(MLPModule):
    """16 units take far too long, any other number works."""

    def __init__(self, *, hidden_size: int, **kwargs: Any) -> None:
        super().__init__(hidden_size=hidden_size, **kwargs)
        self.hidden_size = hidden_size

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        if self.hidden_size == 16:
            time.sleep(0.4)
        return super().training_step(batch, batch_idx)


class CountedClassifier(FaultyClassifier):
    """Writes into its run's folder how many others were alive when it was made."""

    ALIVE: ClassVar[weakref.WeakSet[MLPModule]] = weakref.WeakSet()

    def __init__(self, **kwargs: Any) -> None:
        folder = Path(HydraConfig.get().runtime.output_dir)
        (folder / "alive").write_text(str(len(self.ALIVE)))
        super().__init__(**kwargs)
        self.ALIVE.add(self)
