"""Why a training failed: one word to count by, one line to read, and the traceback to mend it."""

import contextlib
import errno
import shutil
import traceback
from enum import StrEnum
from pathlib import Path

from lightsweep.files import write_atomically

TRACEBACK = "error.txt"
BYTES_OF_A_FULL_DISK = 2**20

# torch has an exception of its own for a GPU, but on the host it raises a RuntimeError that only its text tells.
OUT_OF_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


class Kind(StrEnum):
    """What became of a failed trial, as it is counted."""

    OUT_OF_MEMORY = "out of memory"
    DIVERGED = "diverged"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker lost"
    ERROR = "error"

    @property
    def is_infeasible(self) -> bool:
        """Whether the hyperparameters are to blame, so that the sampler should keep away from them."""
        return self in (Kind.OUT_OF_MEMORY, Kind.DIVERGED)


class TrialStoppedError(Exception):
    """A training was ended in the middle of an epoch, because the search is over."""


class TrialTimeoutError(Exception):
    """A training took longer than `hydra.sweeper.trial_timeout`."""


def kind_of(error: BaseException) -> Kind:
    """Judge an exception that ended a training."""
    if isinstance(error, TrialTimeoutError):
        return Kind.TIMEOUT
    if isinstance(error, MemoryError):
        return Kind.OUT_OF_MEMORY
    if isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OUT_OF_MEMORY_WORDS):
        return Kind.OUT_OF_MEMORY
    return Kind.DIVERGED if isinstance(error, FloatingPointError) else Kind.ERROR


def disk_is_full(error: BaseException | None, folder: Path) -> bool:
    """Whether an exception comes of a disk without space; torch's own writer, and what Optuna asserts, don't say so."""
    if isinstance(error, AssertionError) or "PytorchStreamWriter" in str(error):
        return shutil.disk_usage(folder).free < BYTES_OF_A_FULL_DISK
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def in_one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def save_traceback(error: BaseException, folder: Path) -> str:
    """Write it into the folder of the run, and return it; a full disk must not hide what went wrong."""
    told = "".join(traceback.format_exception(error))
    with contextlib.suppress(OSError):
        write_atomically(folder / TRACEBACK, told)
    return told
