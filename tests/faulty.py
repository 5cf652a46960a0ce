"""Classifiers that fail depending on their size, for the tests of failing trials."""

import os
import signal
import time
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from hydra.core.hydra_config import HydraConfig
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lightsweep.data.splits import Splits
from lightsweep.data.synthetic import Synthetic
from lightsweep.model.module import MLPModule


class FaultyClassifier(MLPModule):
    """16 units raise in the first step, 24 log NaN, 32 log infinity; other sizes work."""

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
    """16 units exceed the time limit; other sizes work."""

    def __init__(self, *, hidden_size: int, **kwargs: Any) -> None:
        super().__init__(hidden_size=hidden_size, **kwargs)
        self.hidden_size = hidden_size

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        if self.hidden_size == 16:
            time.sleep(3)
        return super().training_step(batch, batch_idx)


class PlateauClassifier(MLPModule):
    """Has a scheduler that needs a validation, which a refit does not have, and saves objects as hyperparameters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters({"optimizer": self.optimizer_factory, "path": Path("here")})

    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": ReduceLROnPlateau(optimizer), "monitor": "val/loss"},
        }


class CountedClassifier(FaultyClassifier):
    """Writes the number of other instances in memory into the folder of its run."""

    ALIVE: ClassVar[weakref.WeakSet[MLPModule]] = weakref.WeakSet()

    def __init__(self, **kwargs: Any) -> None:
        folder = Path(HydraConfig.get().runtime.output_dir)
        (folder / "alive").write_text(str(len(self.ALIVE)))
        super().__init__(**kwargs)
        self.ALIVE.add(self)


class TrackedClassifier(FaultyClassifier):
    """As `FaultyClassifier`, but 8 units have no accuracy; it saves hyperparameters with names that the config has."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters({"seed": 7, "optimizer": "mine", "depth": {"levels (n)": 2}})

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        if self.hidden_size == 8:
            self.log("val/acc", torch.tensor(0.0))
        else:
            super().validation_step(batch, batch_idx)


class KilledOnce(MLPModule):
    """Writes which GPUs its process sees; the third trial kills its process the first time."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        folder = Path(HydraConfig.get().runtime.output_dir)
        is_first = not list(folder.glob("seen.*"))
        (folder / f"seen.{os.getpid()}").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
        time.sleep(0.5)  # so that the other workers run trials, too
        if folder.name == "2" and is_first:
            os.kill(os.getpid(), signal.SIGKILL)


class DownloadedData(Synthetic):
    """Fails if two processes are in `prepare_data` at once, and notes each call and its process."""

    def __init__(self, *, folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = Path(folder)

    def prepare_data(self) -> None:
        (self.folder / "partial").mkdir()
        time.sleep(0.5)
        (self.folder / "partial").rmdir()
        for name, text in {"calls": ".", "workers": f"{os.getpid()} "}.items():
            with (self.folder / name).open("a") as file:
                file.write(text)


class PlacedClassifier(MLPModule):
    """Writes the GPUs that it may use into the folder of its run."""

    def __init__(self, **kwargs: Any) -> None:
        folder = Path(HydraConfig.get().runtime.output_dir)
        (folder / "gpus").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
        super().__init__(**kwargs)


class SleepyClassifier(FaultyClassifier):
    """Sleeps before each epoch for as many seconds as the environment variable SLEEP_S says."""

    def on_train_epoch_start(self) -> None:
        time.sleep(float(os.environ["SLEEP_S"]))
        super().on_train_epoch_start()


class SecretTestData(Synthetic):
    """Raises if a trial reads its test rows, and only in a refit gives them."""

    @property
    def splits(self) -> Splits:
        splits = super().splits
        return splits if self.refit else replace(splits, test=SECRET)


class _Secret(tuple[Tensor, Tensor]):
    def __getitem__(self, _: Any) -> Any:
        raise AssertionError("the test rows were read")

    def __iter__(self) -> Any:
        raise AssertionError("the test rows were read")


SECRET: Any = _Secret()
