"""The reason why a training failed: a kind to count, one line to show, and a traceback file."""

import contextlib
import errno
import shutil
import traceback
from enum import StrEnum
from pathlib import Path

from lightsweep.errors import DiskFullError
from lightsweep.files import write_atomically

TRACEBACK = "error.txt"
FULL_DISK_BYTES = 2**20  # a disk with less free space counts as full
WORDS_OF_TORCH_WRITER = ("PytorchStreamWriter", "inline_container.cc")

# torch raises a class of its own on a GPU, but a plain RuntimeError on the host.
OUT_OF_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


class Kind(StrEnum):
    """The kinds of failure that a search counts."""

    OUT_OF_MEMORY = "out of memory"
    DIVERGED = "diverged"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker lost"
    ERROR = "error"

    @property
    def is_infeasible(self) -> bool:
        """True if the hyperparameters caused the failure, so that the sampler should avoid them."""
        return self in (Kind.OUT_OF_MEMORY, Kind.DIVERGED)


class TrialStoppedError(Exception):
    """A training was stopped in the middle of an epoch because the search is over."""


class TrialTimeoutError(Exception):
    """A training took longer than `hydra.sweeper.trial_timeout`."""


def kind_of(error: BaseException) -> Kind:
    """Classify an exception that ended a training."""
    if isinstance(error, TrialTimeoutError):
        return Kind.TIMEOUT
    if isinstance(error, MemoryError):
        return Kind.OUT_OF_MEMORY
    if isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OUT_OF_MEMORY_WORDS):
        return Kind.OUT_OF_MEMORY
    return Kind.DIVERGED if isinstance(error, FloatingPointError) else Kind.ERROR


def full_disk(error: BaseException | None, folder: Path) -> Path | None:
    """Return what a full disk kept from being written; None if the exception has another cause.

    That is `folder` if the exception names no file. Torch's writer and Optuna's assertions don't even say that the disk
    is full.
    """
    if isinstance(error, AssertionError) or any(word in str(error) for word in WORDS_OF_TORCH_WRITER):
        return folder if shutil.disk_usage(folder).free < FULL_DISK_BYTES else None
    while error is not None:
        if isinstance(error, DiskFullError):
            return error.folder
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return Path(error.filename) if isinstance(error.filename, str) else folder
        error = error.__cause__ or error.__context__
    return None


def in_one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def save_traceback(error: BaseException, folder: Path) -> str:
    """Return the traceback, and write it into the folder unless the disk fails too."""
    text = "".join(traceback.format_exception(error))
    with contextlib.suppress(OSError):
        write_atomically(folder / TRACEBACK, text)
    return text
