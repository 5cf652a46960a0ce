"""Measures what one epoch and one checkpoint of a model cost, for the estimate of a preflight."""

import itertools
import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import Callback

from lightsweep.files import write_atomically
from lightsweep.model.training_steps import TrainingSteps

N_WARM_UP = 2  # the first batches pay for what is loaded and compiled once


class Stopwatch(Callback):
    """Writes what it measured to `path` at the end of a fit of a few batches (`trainer.fast_dev_run`)."""

    looks_at_batches = False  # it measures the steps of a search, which take many batches each

    def __init__(self, *, path: str) -> None:
        self.path = Path(path)
        self._set_up = time.perf_counter()
        self._train: list[float] = []
        self._n_batches: list[int] = []  # by then
        self._val: list[float] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._note_step(trainer, pl_module)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        self._note_step(trainer, pl_module)

    def _note_step(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._train.append(_now())
        if isinstance(pl_module, TrainingSteps):  # it takes many batches per step of Lightning
            self._n_batches.append(pl_module.n_optimizer_steps)
        else:
            self._n_batches.append(trainer.global_step)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._val.append(_now())

    def on_validation_batch_end(self, *_: Any) -> None:
        self._val.append(_now())

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        checkpoint = self.path.with_suffix(".ckpt")
        trainer.save_checkpoint(checkpoint)
        last_checkpoint_bytes = checkpoint.stat().st_size
        start = _now()
        trainer.save_checkpoint(checkpoint, weights_only=True)  # as the best of each trial is kept
        s_per_checkpoint = _now() - start
        measured = {
            "n_parameters": sum(p.numel() for p in pl_module.parameters()),
            "device": str(pl_module.device),
            "s_per_batch": _typical_step(self._train, self._n_batches),
            "s_per_val_batch": _typical_step(self._val, range(len(self._val))),
            "n_batches": _n_batches(trainer.train_dataloader),
            "n_val_batches": _n_batches(trainer.val_dataloaders),
            "s_in_batches": _span(self._train) + _span(self._val),
            "s_since_set_up": _now() - self._set_up,
            "pid": os.getpid(),
            "s_per_checkpoint": s_per_checkpoint,
            "checkpoint_bytes": checkpoint.stat().st_size,
            "last_checkpoint_bytes": last_checkpoint_bytes,
        }
        checkpoint.unlink()
        write_atomically(self.path, json.dumps(measured))


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()  # a GPU is still at work when Python goes on
    return time.perf_counter()


def _typical_step(stamps: Sequence[float], counts: Sequence[int]) -> float:
    """Seconds for one batch; `counts` says how many there had been at each stamp."""
    pairs = itertools.pairwise(zip(stamps, counts, strict=True))
    steps = [(end - start) / (after - before) for (start, before), (end, after) in pairs if after > before]
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
