"""The requests of a driver to stop its jobs: empty files, named after the driver, in the folder of the search.

An empty file can't be torn, and a full disk has room for it. Jobs on hosts that do not share the folder read the
driver's record in the study, see `heartbeat.py`.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import optuna

from lightsweep.trial.driver import driver, has_sigterm, is_orphaned
from lightsweep.trial.heartbeat import STOP_AT_ONCE, HeartbeatMonitor
from lightsweep.trial.requeue import is_taken_over, requeue

STOP_FILE = ".stop"
ABORT_FILE = ".stop_at_once"
SECONDS_BETWEEN_LOOKS = 5.0  # at the study


@dataclass(frozen=True)
class StopReason:
    """The reason why the search ended before all trials were run, and its exit code."""

    reason: str
    exit_code: int

    @property
    def is_interrupt(self) -> bool:
        """True if a user or a scheduler stopped the search with a signal."""
        return self.exit_code > 128


class StopCheck:
    """Tells the job of a trial to end: its search or its worker is asked to stop, or its driver is gone."""

    def __init__(self, trial: optuna.Trial, folder: Path) -> None:
        self.trial = trial
        self.folder = folder
        self._heartbeats = HeartbeatMonitor(trial.study)
        self._next_look_s = 0.0
        self._is_silent = False  # a driver on another host
        self._request: str | None = None  # of a driver on another host

    def requested(self, *, at_once: bool = False) -> bool:
        """True if the job must end after its epoch, or with `at_once` in the middle of it."""
        self._look_at_remote_driver()
        if at_once:
            return has_stop_request(self.folder, at_once=True) or self._request == STOP_AT_ONCE
        is_asked = has_sigterm() or has_stop_request(self.folder) or self._request is not None
        return is_asked or self._is_orphaned()

    def requeue_if_orphaned(self) -> None:
        """Requeue the trial for another driver if this job's own driver is gone and can't do it."""
        if self._is_orphaned() and not is_taken_over(self.trial):
            requeue(self.trial)

    def _is_orphaned(self) -> bool:
        return self._is_silent or is_orphaned()

    def _look_at_remote_driver(self) -> None:
        owner = driver()
        if owner is None or not owner.is_remote() or time.monotonic() < self._next_look_s:
            return
        self._next_look_s = time.monotonic() + SECONDS_BETWEEN_LOOKS
        self._is_silent = self._heartbeats.is_silent(owner)
        self._request = self._heartbeats.stop_request(owner)


def request_stop(folder: Path, *, at_once: bool) -> None:
    """Ask every job of this driver to end after its epoch, or `at_once` in the middle of it.

    Doesn't raise if the files can't be written, because signal handlers call it.
    """
    with suppress(OSError):
        _file(folder, STOP_FILE).touch()
        if at_once:
            _file(folder, ABORT_FILE).touch()


def clear_stop_request(folder: Path) -> None:
    """Remove the requests of this driver, or of an earlier one with the same host and process id."""
    for name in (STOP_FILE, ABORT_FILE):
        _file(folder, name).unlink(missing_ok=True)


def has_stop_request(folder: Path, *, at_once: bool = False) -> bool:
    return _file(folder, ABORT_FILE if at_once else STOP_FILE).exists()


def _file(folder: Path, name: str) -> Path:
    """Return the file of this process's driver: other searches may run in the same folder."""
    owner = driver()
    return folder / (name if owner is None else f"{name}.{owner.host}.{owner.pid}")
