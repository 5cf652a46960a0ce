"""Prepared data in a folder that is written once and mapped by every process of a machine."""

import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightsweep.errors import ConfigError, DiskFullError
from lightsweep.failures import disk_is_full
from lightsweep.files import locked

FORMAT = 4  # to be raised when what is written changes
ABANDONED_S = 24 * 3600.0


def made_once(cache: Path, *, name: str, about: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """The folder that `make` has filled for `about`, in this process or another, now or earlier.

    It appears at once, with all its files. Whoever comes while it is being made waits, and a process that was killed
    in the middle is followed by the next.
    """
    key = hashlib.sha256(json.dumps([FORMAT, about], sort_keys=True, default=str).encode()).hexdigest()[:16]
    folder = cache / f"{name}-{key}"
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"data.cache is '{cache}', which can't be created: {error.strerror}.") from None
    try:
        with locked(cache / f".{folder.name}.lock", waiting=f"another process is preparing {name}; waiting for it"):
            if not folder.is_dir():
                _make(folder, make)
    except OSError as error:
        if disk_is_full(error, cache):
            raise DiskFullError(cache) from None
        if isinstance(error, PermissionError):
            raise ConfigError(f"data.cache is '{cache}', which is not yours to write.") from None
        raise
    return folder


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    for stale in folder.parent.glob(f".{folder.name}.*.tmp"):
        if time.time() - stale.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(stale, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        make(temporary)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
