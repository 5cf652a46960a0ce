"""Keeps the weights of the best epoch."""

import copy
import logging
import time
from typing import Any
from weakref import proxy

import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor

from lightsweep.direction import Direction, lightning_mode

log = logging.getLogger(__name__)

SECONDS_BETWEEN_WRITES = 1.0  # the epochs of a small network are done in a tenth of the time that a file takes


class BestCheckpoint(ModelCheckpoint):
    """Writes `<dirpath>/<filename>.ckpt` when `monitor` has reached a new best value.

    Not more often than once a second: until then the weights are kept in memory, and are written at the latest when the
    fit ends, in whatever way, or before a checkpoint to go on from is. A file of the same name is replaced: a second
    fit in the same folder leaves no stale twin beside it.
    """

    def __init__(self, *, dirpath: str, filename: str, monitor: str, direction: Direction) -> None:
        super().__init__(
            dirpath=dirpath,
            filename=filename,
            monitor=monitor,
            mode=lightning_mode(direction),
            auto_insert_metric_name=False,
            enable_version_counter=False,
            save_weights_only=True,  # half the time and a third of the size; last.ckpt is there to go on from
        )
        self._waiting: tuple[str, Any] | None = None  # path and checkpoint
        self._next_write_s = time.monotonic() + SECONDS_BETWEEN_WRITES

    def _save_checkpoint(self, trainer: L.Trainer, filepath: str) -> None:
        # Several processes have to write at the same time, and some strategies write what they hold themselves.
        if time.monotonic() < self._next_write_s and isinstance(trainer.strategy, SingleDeviceStrategy):
            self._waiting = filepath, copy.deepcopy(trainer._checkpoint_connector.dump_checkpoint(weights_only=True))
            self._last_global_step_saved = trainer.global_step
            self._last_checkpoint_saved = filepath
            return
        super()._save_checkpoint(trainer, filepath)
        self._is_written()

    def _write_what_waits(self, trainer: L.Trainer) -> None:
        if self._waiting is None:
            return
        path, checkpoint = self._waiting
        trainer.strategy.save_checkpoint(checkpoint, path)
        for logger in trainer.loggers:
            logger.after_save_checkpoint(proxy(self))
        self._is_written()

    def _is_written(self) -> None:
        self._waiting = None
        self._next_write_s = time.monotonic() + SECONDS_BETWEEN_WRITES

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        if time.monotonic() >= self._next_write_s:
            self._write_what_waits(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        is_last = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs  # others may look for the file
        if is_last or time.monotonic() >= self._next_write_s:
            self._write_what_waits(trainer)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        self._write_what_waits(trainer)  # or a fit that goes on from there would know of a file that is not

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        self._write_what_waits(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        super().on_exception(trainer, pl_module, exception)
        try:
            self._write_what_waits(trainer)
        except Exception as error:  # noqa: BLE001  (what ended the fit is what has to be told)
            log.warning("The best weights could not be written: %s", error)

    def _monitor_candidates(self, trainer: L.Trainer) -> dict[str, Tensor]:
        """As in Lightning, which takes longer to copy these few numbers after each epoch than to look at them."""
        found = {name: torch.as_tensor(value).clone() for name, value in trainer.callback_metrics.items()}
        for name, count in {"epoch": trainer.current_epoch, "step": trainer.global_step}.items():
            found[name] = found[name].int() if name in found else torch.tensor(count)
        return found
