"""The GPUs of this machine that workers share: which there are, and how many workers they hold."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from joblib import cpu_count

from lightsweep.config.validation import POSITIVE_INT
from lightsweep.errors import ConfigError

VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"
ID = re.compile(r"\d+|(GPU|MIG)-[\w/-]+")


@dataclass(frozen=True)
class Gpus:
    """GPUs by their ids in CUDA_VISIBLE_DEVICES. Without any, each worker sees all GPUs that this process sees."""

    ids: tuple[str, ...] = ()
    workers_per_gpu: int = 1

    @classmethod
    def of(cls, gpus: Any, workers_per_gpu: Any) -> "Gpus":
        """Read `hydra.launcher.gpus` and `hydra.launcher.workers_per_gpu`. Raise `ConfigError` if one is wrong.

        A list without CUDA_VISIBLE_DEVICES, and `auto` likewise, imports torch, which knows the GPUs that it can use.
        """
        if not POSITIVE_INT.holds(workers_per_gpu):
            raise ConfigError(
                f"hydra.launcher.workers_per_gpu is {workers_per_gpu}; it must be {POSITIVE_INT.must_be}."
            )
        if gpus is None:
            if workers_per_gpu > 1:
                raise ConfigError(
                    f"hydra.launcher.workers_per_gpu is {workers_per_gpu}, but no GPUs are given: add gpus=auto, or set"
                    " workers_per_gpu=1."
                )
            return cls()
        return cls(tuple(_all_gpus() if gpus == "auto" else _checked(gpus)), workers_per_gpu)

    def n_workers(self, n_jobs: int | None) -> int:
        """Return `n_jobs`; if that is None, as many as the GPUs hold, and without GPUs one per core.

        Raise `ConfigError` if the GPUs hold fewer than `n_jobs`.
        """
        if not self.ids:
            return cpu_count() if n_jobs is None else n_jobs
        n_held = len(self.ids) * self.workers_per_gpu
        if n_jobs is not None and n_jobs > n_held:
            raise ConfigError(
                f"there are {n_jobs} workers, but gpus=[{','.join(self.ids)}] with workers_per_gpu="
                f"{self.workers_per_gpu} hold {n_held}. Set workers={n_held}, or"
                f" workers_per_gpu={-(-n_jobs // len(self.ids))}."
            )
        return n_held if n_jobs is None else n_jobs

    def next_for(self, living: Iterable[str | None]) -> str | None:
        """Return the GPU with the fewest living workers, given the GPU of each; None without GPUs."""
        counts = Counter(living)
        return min(self.ids, key=lambda gpu: counts[gpu], default=None)


def environment_of(gpu: str | None) -> dict[str, str]:
    """Return the variables with which a process sees only this GPU; they count when it first uses CUDA."""
    if gpu is None:
        return {}
    # Without an order, CUDA numbers the fastest GPU first. What the user lists has the user's order.
    order = {} if VISIBLE in os.environ or ORDER in os.environ else {ORDER: "PCI_BUS_ID"}  # as nvidia-smi
    return {VISIBLE: gpu, **order}


def _all_gpus() -> Sequence[str]:
    listed = _listed()
    gpus = [*map(str, range(_n_devices()))] if listed is None else listed
    if not gpus:
        raise ConfigError(f"hydra.launcher.gpus is auto, but {_no_gpu(listed)}. Leave gpus out to train on the CPU.")
    return gpus


def _checked(gpus: Any) -> Sequence[str]:
    ids = [*map(str, gpus)] if isinstance(gpus, Sequence) and not isinstance(gpus, str) else []
    shown = f"hydra.launcher.gpus is {gpus}"
    if not ids or len(set(ids)) < len(ids) or not all(map(ID.fullmatch, ids)):
        raise ConfigError(
            f"{shown}; it must be auto, or a list of different GPUs by their numbers in nvidia-smi or their UUIDs, such"
            " as [0,1]. Several workers on each: workers_per_gpu=2."
        )
    listed = _listed()
    known = [*map(str, range(_n_devices()))] if listed is None else listed
    if not known:
        raise ConfigError(f"{shown}, but {_no_gpu(listed)}. Leave gpus out to train on the CPU.")
    unknown = [gpu for gpu in ids if gpu not in known and (listed is not None or gpu.isdecimal())]
    if unknown:
        here = f"torch sees {', '.join(known)}" if listed is None else f"{VISIBLE} is {','.join(known)}"
        raise ConfigError(f"{shown}, but {here}, without {', '.join(unknown)}. Choose among those, or set gpus=auto.")
    return ids


def _no_gpu(listed: Sequence[str] | None) -> str:
    return "torch sees no GPU on this machine" if listed is None else f"{VISIBLE} lists none"


def _listed() -> list[str] | None:
    """Return what the user's CUDA_VISIBLE_DEVICES lists, up to the first invalid entry as CUDA does; None if unset."""
    value = os.environ.get(VISIBLE)
    if value is None:
        return None
    entries = [entry.strip() for entry in value.split(",")]
    end = next((i for i, entry in enumerate(entries) if not ID.fullmatch(entry)), len(entries))
    return entries[:end]


@lru_cache(maxsize=1)
def _n_devices() -> int:
    import torch  # only here, because it takes seconds

    return torch.cuda.device_count()  # asks the driver's library, and leaves CUDA uninitialized in this process
