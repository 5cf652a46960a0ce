"""How a driver asks its jobs to stop, wherever they run: by files of its name in the folder of the search.

The files are empty: they are there as a whole or not at all, and a full disk has room for them.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lightsweep.trial.driver import driver

STOP = ".stop"
AT_ONCE = ".stop_at_once"


@dataclass(frozen=True)
class StopReason:
    """Why the search ended before all trials were run, and the exit code for it."""

    reason: str
    exit_code: int

    @property
    def is_interrupt(self) -> bool:
        """Whether it was a person or a scheduler that ended the search."""
        return self.exit_code > 128


def request_stop(folder: Path, *, at_once: bool) -> None:
    """Let every job of this driver end at its next epoch, or in the middle of one.

    Does not raise, because it is called when a signal comes. Who is not heard can ask for the end at once.
    """
    with suppress(OSError):
        _file(folder, STOP).touch()
        if at_once:
            _file(folder, AT_ONCE).touch()


def clear_stop_request(folder: Path) -> None:
    """Forget what this driver, or one before it of the same host and process id, has asked for."""
    for name in (STOP, AT_ONCE):
        _file(folder, name).unlink(missing_ok=True)


def has_stop_request(folder: Path) -> bool:
    return _file(folder, STOP).exists()


def has_abort_request(folder: Path) -> bool:
    return _file(folder, AT_ONCE).exists()


def _file(folder: Path, name: str) -> Path:
    """In the driver and in its workers the same: other searches may run in this folder."""
    here = driver()
    return folder / (name if here is None else f"{name}.{here.host}.{here.pid}")
