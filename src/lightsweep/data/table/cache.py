"""Folders of prepared data, written once and read by every process of a machine."""

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
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"data.cache is '{cache}', which can't be created: {error.strerror}.") from None
    try:
        with locked(cache / f".{folder.name}.lock", waiting=f"another process is preparing {name}; waiting for it"):
            if not folder.is_dir():
                _make(folder, make)
    except OSError as error:
        if path := full_disk(error, cache):
            raise DiskFullError(path) from None
        if isinstance(error, PermissionError):
            raise ConfigError(f"data.cache is '{cache}', which you have no permission to write.") from None
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
