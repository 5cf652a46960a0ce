"""Measures what one epoch and one checkpoint of a model cost, for the estimate of a preflight."""

import itertools
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import Callback

from lightsweep.files import write_atomically

N_WARM_UP = 2  # the first batches pay for what is loaded and compiled once


class Stopwatch(Callback):
    """Writes what it measured to `path` at the end of a fit of a few batches (`trainer.fast_dev_run`)."""

    def __init__(self, *, path: str) -> None:
        self.path = Path(path)
        self._set_up = time.perf_counter()
        self._train: list[float] = []
        self._val: list[float] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._train.append(_now())

    def on_train_batch_end(self, *_: Any) -> None:
        self._train.append(_now())

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._val.append(_now())

    def on_validation_batch_end(self, *_: Any) -> None:
        self._val.append(_now())

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        checkpoint = self.path.with_suffix(".ckpt")
        start = _now()
        trainer.save_checkpoint(checkpoint)
        measured = {
            "n_parameters": sum(p.numel() for p in pl_module.parameters()),
            "device": str(pl_module.device),
            "s_per_batch": _typical_step(self._train),
            "s_per_val_batch": _typical_step(self._val),
            "n_batches": _n_batches(trainer.train_dataloader),
            "n_val_batches": _n_batches(trainer.val_dataloaders),
            "s_in_batches": _span(self._train) + _span(self._val),
            "s_since_set_up": _now() - self._set_up,
            "pid": os.getpid(),
            "s_per_checkpoint": _now() - start,
            "checkpoint_bytes": checkpoint.stat().st_size,
        }
        checkpoint.unlink()
        write_atomically(self.path, json.dumps(measured))


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()  # a GPU is still at work when Python goes on
    return time.perf_counter()


def _typical_step(stamps: list[float]) -> float:
    steps = [end - start for start, end in itertools.pairwise(stamps)]
    return statistics.median(steps[N_WARM_UP:] or steps[-1:] or [0.0])


def _span(stamps: list[float]) -> float:
    return stamps[-1] - stamps[0] if stamps else 0.0


def _n_batches(loaders: Any) -> int | None:
    """How many batches one pass has, None if the data can't tell."""
    if isinstance(loaders, list | tuple):
        counts = [_n_batches(loader) for loader in loaders]
        return None if None in counts else sum(filter(None, counts))
    try:
        return len(loaders)
    except TypeError:
        return None
