"""The requests of a driver to stop its jobs: empty files, named after the driver, in the folder of the search.

An empty file can't be torn, it reaches jobs on every host, and a full disk has room for it.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lightsweep.trial.driver import driver

STOP = ".stop"
ABORT = ".stop_at_once"


@dataclass(frozen=True)
class StopReason:
    """The reason why the search ended before all trials were run, and its exit code."""

    reason: str
    exit_code: int

    @property
    def is_interrupt(self) -> bool:
        """True if a user or a scheduler stopped the search with a signal."""
        return self.exit_code > 128


def request_stop(folder: Path, *, at_once: bool) -> None:
    """Ask every job of this driver to end after its epoch, or `at_once` in the middle of it.

    Doesn't raise if the files can't be written, because signal handlers call it.
    """
    with suppress(OSError):
        _file(folder, STOP).touch()
        if at_once:
            _file(folder, ABORT).touch()


def clear_stop_request(folder: Path) -> None:
    """Remove the requests of this driver, or of an earlier one with the same host and process id."""
    for name in (STOP, ABORT):
        _file(folder, name).unlink(missing_ok=True)


def has_stop_request(folder: Path, *, at_once: bool = False) -> bool:
    return _file(folder, ABORT if at_once else STOP).exists()


def _file(folder: Path, name: str) -> Path:
    """Return the file of this process's driver: other searches may run in the same folder."""
    owner = driver()
    return folder / (name if owner is None else f"{name}.{owner.host}.{owner.pid}")
