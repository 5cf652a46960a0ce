"""Measures the time of batches and checkpoints, for the estimate of a preflight."""

import gc
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

N_WARM_UP = 2  # steps that are slower because libraries are loaded


class Stopwatch(Callback):
    """Writes its measurements to `path` at the end of a fit of a few batches (`trainer.fast_dev_run`)."""

    needs_every_batch = False  # so that it measures steps of many batches, as in a search

    def __init__(self, *, path: str) -> None:
        self.path = Path(path)
        self._created = time.perf_counter()
        self._train_times: list[float] = []
        self._train_counts: list[int] = []  # batches done at each of these times
        self._val_times: list[float] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        gc.collect()  # a collection of the libraries' objects during a step would be measured as a part of it
        self._record_step(trainer, pl_module)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        self._record_step(trainer, pl_module)

    def _record_step(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._train_times.append(_now())
        # `trainer.global_step` counts steps of Lightning, which for our own modules are several batches.
        self._train_counts.append(getattr(pl_module, "n_optimizer_steps", trainer.global_step))

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._val_times.append(_now())

    def on_validation_batch_end(self, *_: Any) -> None:
        self._val_times.append(_now())

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        checkpoint = self.path.with_suffix(".ckpt")
        trainer.save_checkpoint(checkpoint)
        last_checkpoint_bytes = checkpoint.stat().st_size
        start = _now()
        trainer.save_checkpoint(checkpoint, weights_only=True)  # like the best checkpoint of a trial
        s_per_checkpoint = _now() - start
        measurements = {
            "n_parameters": sum(p.numel() for p in pl_module.parameters()),
            "device": str(pl_module.device),
            "s_per_batch": _median_step(self._train_times, self._train_counts),
            "s_per_val_batch": _median_step(self._val_times, range(len(self._val_times))),
            "n_batches": _n_batches(trainer.train_dataloader),
            "n_val_batches": _n_batches(trainer.val_dataloaders),
            "s_in_batches": _span(self._train_times) + _span(self._val_times),
            "s_since_set_up": _now() - self._created,
            "pid": os.getpid(),
            "s_per_checkpoint": s_per_checkpoint,
            "checkpoint_bytes": checkpoint.stat().st_size,
            "last_checkpoint_bytes": last_checkpoint_bytes,
        }
        checkpoint.unlink()
        write_atomically(self.path, json.dumps(measurements))


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()  # wait for the GPU
    return time.perf_counter()


def _median_step(times: Sequence[float], counts: Sequence[int]) -> float:
    """Return the median seconds per batch, where `counts` are the batches done at each time."""
    pairs = itertools.pairwise(zip(times, counts, strict=True))
    steps = [(end - start) / (after - before) for (start, before), (end, after) in pairs if after > before]
    return statistics.median(steps[N_WARM_UP:] or steps[-1:] or [0.0])


def _span(times: list[float]) -> float:
    return times[-1] - times[0] if times else 0.0


def _n_batches(loaders: Any) -> int | None:
    """Return the number of batches of one epoch, None if a loader has no length."""
    if isinstance(loaders, list | tuple):
        counts = [_n_batches(loader) for loader in loaders]
        return None if None in counts else sum(filter(None, counts))
    try:
        return len(loaders)
    except TypeError:
        return None
