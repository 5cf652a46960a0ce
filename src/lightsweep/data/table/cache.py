"""Folders of prepared data: written once, or for one trial, and read by every process of a machine."""

import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightsweep.data.preprocessing import Preprocessing
from lightsweep.data.saved_preprocessing import load_preprocessing
from lightsweep.data.splits import Scaler, Splits
from lightsweep.data.table.preparing import TARGET
from lightsweep.data.target import Target
from lightsweep.errors import ConfigError, DiskFullError
from lightsweep.failures import full_disk
from lightsweep.files import locked

FORMAT = 6  # increase it when the written files change
ABANDONED_S = 24 * 3600.0


def cached_folder(cache: Path, *, name: str, key: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """Return the folder that `make` filled for `key`, in this process or another one; make it if it does not exist.

    The folder appears with all its files. Other processes wait for it; if the one that makes it is killed, the next
    one starts again.
    """
    digest = hashlib.sha256(json.dumps([FORMAT, key], sort_keys=True, default=str).encode()).hexdigest()[:16]
    folder = cache / f"{name}-{digest}"
    if folder.is_dir():
        return folder
    waiting = f"another process is preparing {name}; waiting for it"
    with _writable(cache), locked(cache / f".{folder.name}.lock", waiting=waiting):
        if not folder.is_dir():
            with temporary_folder(cache, name=folder.name) as temporary:
                make(temporary)
                temporary.rename(folder)
    return folder


@contextmanager
def temporary_folder(cache: Path, *, name: str) -> Iterator[Path]:
    """Yield a new folder in the cache and delete it afterwards, if it is still there, and abandoned ones of `name`."""
    with _writable(cache):
        for stale in cache.glob(f".{name}.*.tmp"):
            if time.time() - stale.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(stale, ignore_errors=True)
        temporary = cache / f".{name}.{socket.gethostname()}.{os.getpid()}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _writable(cache: Path) -> Iterator[None]:
    """Create the cache, and turn what the disk refuses into errors of the user's."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"data.cache is '{cache}', which can't be created: {error.strerror}.") from None
    try:
        yield
    except OSError as error:
        if path := full_disk(error, cache):
            raise DiskFullError(path) from None
        if isinstance(error, PermissionError):
            raise ConfigError(f"data.cache is '{cache}', which you have no permission to write.") from None
        raise


class PreparedTable:
    """What a folder holds, read when it is asked for; the matrices are mapped and not read into memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self) -> "PreparedTable":
        """Read all of it, so that the folder may be deleted; the mapped files live on until nothing maps them."""
        _ = self.splits, self.target, self.preprocessing
        return self

    @cached_property
    def splits(self) -> Splits:
        train, val, test = (self._mapped(name) for name in ("train", "val", "test"))
        d_in = train[0].shape[1]
        unscaled = Scaler(mean=np.zeros(d_in, dtype=np.float32), std=np.ones(d_in, dtype=np.float32))
        return Splits(train=train, val=val if len(val[0]) else None, test=test, scaler=unscaled)

    @cached_property
    def target(self) -> Target:
        return Target.from_record(json.loads((self.folder / TARGET).read_text(encoding="utf-8")))

    @cached_property
    def preprocessing(self) -> Preprocessing:
        return load_preprocessing(self.folder)

    @cached_property
    def balanced_weights(self) -> tuple[float, ...]:
        """Rows / (classes * rows of the class), of the training rows."""
        counts = torch.bincount(self.splits.train[1], minlength=self.target.d_out)
        return tuple((counts.sum() / (len(counts) * counts)).tolist())

    def _mapped(self, name: str) -> tuple[Tensor, Tensor]:
        # torch warns of read-only arrays, so the mapping is copy on write.
        x, y = (np.load(self.folder / f"{part}_{name}.npy", mmap_mode="c", allow_pickle=False) for part in "xy")
        return torch.from_numpy(x), torch.from_numpy(y)


# The trials of a process share the tensors, the processes of a machine the mapped pages.
prepared_table = lru_cache(maxsize=4)(PreparedTable)
