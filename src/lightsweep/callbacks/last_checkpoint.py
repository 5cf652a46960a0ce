"""The checkpoint from which an interrupted trial resumes."""

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

    So a short trial is not slowed down, and a long one that is killed loses at most `every_s` seconds and an epoch. The
    checkpoint holds the random states, so that a resumed trial gives the same result as one without interruption.

    Lightning logs the metrics of an epoch after `on_train_epoch_end`. The file is named `next.ckpt` until then, so that
    the logs have all rows up to the epoch of `last.ckpt`.
    """

    def __init__(self, *, dirpath: str, every_s: float) -> None:
        self.path = Path(dirpath) / "last.ckpt"
        self._next_path = Path(dirpath) / "next.ckpt"
        self.every_s = every_s
        self._next_s = float("inf")
        self._has_next = False
        self._random_states: dict[str, Any] | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._next_path.unlink(missing_ok=True)  # left by a process that was killed
        if in_search() and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._next_s = time.monotonic() + self.every_s

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._random_states is not None:
            _set_random_states(self._random_states)
            self._random_states = None
        self._rename()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        interrupted = any(isinstance(c, PruningCallback) and c.interrupted for c in trainer.callbacks)  # type: ignore[attr-defined]
        if interrupted or time.monotonic() >= self._next_s:
            trainer.save_checkpoint(self._next_path)
            self._has_next = True
            self._next_s = time.monotonic() + self.every_s

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._rename()

    def _rename(self) -> None:
        if self._has_next:
            self._next_path.replace(self.path)
            self._has_next = False

    def state_dict(self) -> dict[str, Any]:
        return {"trial": _trial_overrides() if in_search() else None, "generators": _random_states()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._random_states = state_dict["generators"]


def checkpoint_to_resume(trainer: L.Trainer) -> Path | None:
    """Return the checkpoint that an earlier run of this trial left.

    None, with the reason in the log, if it is of a trial with other overrides or can't be read with `weights_only`.
    """
    callback = next((c for c in trainer.callbacks if isinstance(c, LastCheckpoint)), None)  # type: ignore[attr-defined]
    if callback is None or not in_search() or not callback.path.is_file():
        return None
    try:
        checkpoint = torch.load(callback.path, map_location="cpu", weights_only=True)
        trial = checkpoint["callbacks"][callback.state_key]["trial"]
    except Exception as error:  # noqa: BLE001  (a damaged file raises many kinds of errors)
        log.warning("%s can't be read; the trial starts over: %s", callback.path, str(error).split("\n")[0])
        return None
    if trial != _trial_overrides():
        log.info("%s is of another trial; this one starts over", callback.path)
        return None
    log.info("The trial resumes from %s", callback.path)
    return callback.path


def _trial_overrides() -> dict[str, str]:
    """Return this job's overrides that affect the training; the last one counts if a key is given twice."""
    pairs = dict(override.lstrip("+").partition("=")[::2] for override in HydraConfig.get().overrides.task)
    return {key: value for key, value in pairs.items() if not is_harmless(key)}


def _random_states() -> dict[str, Any]:
    numpy_state: Any = np.random.get_state(legacy=False)
    key = numpy_state["state"]["key"].tolist()  # plain numbers, because `weights_only` refuses arrays
    return {
        "python": random.getstate(),
        "numpy": {**numpy_state, "state": {**numpy_state["state"], "key": key}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_states(states: dict[str, Any]) -> None:
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    key = np.asarray(states["numpy"]["state"]["key"], dtype=np.uint32)
    np.random.set_state({**states["numpy"], "state": {**states["numpy"]["state"], "key": key}})
    torch.set_rng_state(states["torch"].cpu())
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])
