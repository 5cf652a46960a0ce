"""Lets a trial that was interrupted go on where it was, and not at its first epoch."""

import logging
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as L
import torch
from hydra.core.hydra_config import HydraConfig
from pytorch_lightning.callbacks import Checkpoint

from lightsweep.callbacks.pruning import PruningCallback
from lightsweep.config.fingerprint import is_harmless
from lightsweep.trial.context import in_search

log = logging.getLogger(__name__)


class LastCheckpoint(Checkpoint):
    """Writes `<dirpath>/last.ckpt` in a search: when the trial is interrupted, and every `every_s` seconds.

    A short trial is thus never slowed down, and a long one that is killed loses no more than `every_s` seconds and an
    epoch. The state of the random generators is kept too, so that it goes on as if nothing had happened.

    It gets its name when the loggers have all rows of its epoch, which Lightning logs after `on_train_epoch_end`.
    """

    def __init__(self, *, dirpath: str, every_s: float) -> None:
        self.path = Path(dirpath) / "last.ckpt"
        self._unnamed = Path(dirpath) / "next.ckpt"
        self.every_s = every_s
        self._next_s = float("inf")
        self._is_unnamed = False
        self._generators: dict[str, Any] | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._unnamed.unlink(missing_ok=True)  # of a process that was killed
        if in_search() and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._next_s = time.monotonic() + self.every_s

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._generators is not None:
            _set_generators(self._generators)
            self._generators = None
        self._name()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        interrupted = any(isinstance(c, PruningCallback) and c.interrupted for c in trainer.callbacks)  # type: ignore[attr-defined]
        if time.monotonic() < self._next_s and not interrupted:
            return
        trainer.save_checkpoint(self._unnamed)
        self._is_unnamed = True
        self._next_s = time.monotonic() + self.every_s

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._name()

    def _name(self) -> None:
        if self._is_unnamed:
            self._unnamed.replace(self.path)
            self._is_unnamed = False

    def state_dict(self) -> dict[str, Any]:
        return {"trial": _identity() if in_search() else None, "generators": _generators()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._generators = state_dict["generators"]


def checkpoint_to_continue(trainer: L.Trainer) -> Path | None:
    """The checkpoint that an earlier start of this very trial left.

    None if there is none, if it is of a trial with other settings, or if it can't be read as plain tensors and
    numbers: then the trial begins anew, and its log says why.
    """
    keeper = next((c for c in trainer.callbacks if isinstance(c, LastCheckpoint)), None)  # type: ignore[attr-defined]
    if keeper is None or not in_search() or not keeper.path.is_file():
        return None
    try:
        checkpoint = torch.load(keeper.path, map_location="cpu", weights_only=True)
        trial = checkpoint["callbacks"][keeper.state_key]["trial"]
    except Exception as error:  # noqa: BLE001  (a file that was torn or tampered with fails in many ways)
        log.warning("%s can't be used, so the trial begins anew: %s", keeper.path, str(error).split("\n")[0])
        return None
    if trial != _identity():
        log.info("%s is of another trial; this one begins anew", keeper.path)
        return None
    log.info("The trial goes on from %s", keeper.path)
    return keeper.path


def _identity() -> dict[str, str]:
    """What this job was started with, as far as it decides what is trained; of a key given twice the last counts."""
    pairs = dict(override.lstrip("+").partition("=")[::2] for override in HydraConfig.get().overrides.task)
    return {key: value for key, value in pairs.items() if not is_harmless(key)}


def _generators() -> dict[str, Any]:
    numpy_state: Any = np.random.get_state(legacy=False)
    key = numpy_state["state"]["key"].tolist()  # plain numbers, which `weights_only` lets pass
    return {
        "python": random.getstate(),
        "numpy": {**numpy_state, "state": {**numpy_state["state"], "key": key}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_generators(states: dict[str, Any]) -> None:
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    key = np.asarray(states["numpy"]["state"]["key"], dtype=np.uint32)
    np.random.set_state({**states["numpy"], "state": {**states["numpy"]["state"], "key": key}})
    torch.set_rng_state(states["torch"].cpu())
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])
