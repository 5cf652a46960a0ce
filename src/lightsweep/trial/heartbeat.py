"""The heartbeat of a running trial: a file in the folder of the search, which drivers on other hosts watch."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HEARTBEAT_INTERVAL_S = 10.0
HEARTBEAT_TIMEOUT_S = 120.0  # enough for a network file system that shows changes a minute late


def heartbeat_file(folder: Path, number: int) -> Path:
    return folder / f".alive.{number}"


@contextmanager
def heartbeat(folder: Path, number: int) -> Iterator[None]:
    """Touch the trial's heartbeat file every few seconds in the block, and remove it at the end."""
    path, ended = heartbeat_file(folder, number), threading.Event()
    with suppress(OSError):  # the job itself reports a full disk
        path.touch()
    threading.Thread(target=_beat, args=(path, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        with suppress(OSError):
            path.unlink()


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_INTERVAL_S):
        with suppress(OSError):
            os.utime(path)  # unlike `touch` it doesn't create the file of a trial that has just ended


class HeartbeatMonitor:
    """Detects which heartbeats of other drivers have stopped.

    The clocks of two hosts may differ, so it measures with its own clock how long a file has not changed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last: dict[int, tuple[int, float]] = {}  # trial number -> modification time of its file, first seen at

    def is_silent(self, number: int) -> bool:
        """True if the trial has a heartbeat file that has not changed for `HEARTBEAT_TIMEOUT_S`."""
        try:
            beat = heartbeat_file(self.folder, number).stat().st_mtime_ns
        except OSError:
            self._last.pop(number, None)
            return False
        if beat != self._last.get(number, (None, 0.0))[0]:
            self._last[number] = beat, time.monotonic()
        return time.monotonic() - self._last[number][1] > HEARTBEAT_TIMEOUT_S

    def has_heartbeat(self, number: int) -> bool:
        return heartbeat_file(self.folder, number).exists()
