"""How a driver knows that one on another host is gone: by a file per running trial, in the folder of the search."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HEARTBEAT_INTERVAL_S = 10.0
HEARTBEAT_TIMEOUT_S = 120.0  # more than signs need that a network file system shows a minute late


def heartbeat_file(folder: Path, number: int) -> Path:
    return folder / f".alive.{number}"


@contextmanager
def heartbeat(folder: Path, number: int) -> Iterator[None]:
    """Touch the trial's file every few seconds, from now on to the end of the block, and remove it."""
    path, ended = heartbeat_file(folder, number), threading.Event()
    with suppress(OSError):  # a full disk, which the job will meet, too
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
            os.utime(path)  # unlike `touch` it creates none where the trial has just ended


class HeartbeatMonitor:
    """Looks at the signs of life of other drivers.

    Hosts need not agree on the time: what counts is how long, by the clock of who looks, a file has not changed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last: dict[int, tuple[int, float]] = {}  # by trial: its last sign, and when that was first seen

    def is_silent(self, number: int) -> bool:
        """Whether the trial gave signs, but no new one since `HEARTBEAT_TIMEOUT_S`."""
        try:
            sign = heartbeat_file(self.folder, number).stat().st_mtime_ns
        except OSError:
            self._last.pop(number, None)
            return False
        last, since = self._last.get(number, (None, 0.0))
        if sign != last:
            since = time.monotonic()
            self._last[number] = sign, since
        return time.monotonic() - since > HEARTBEAT_TIMEOUT_S

    def sees(self, number: int) -> bool:
        return heartbeat_file(self.folder, number).exists()
