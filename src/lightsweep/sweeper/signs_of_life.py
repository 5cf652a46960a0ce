"""How a driver knows that one on another host is gone: by a file per running trial, in the folder of the search."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

SECONDS_BETWEEN_SIGNS = 10.0
SECONDS_OF_SILENCE = 120.0  # more than signs need that a network file system shows a minute late

_running: set[Path] = set()  # the files of the trials that this process runs


def sign_file(folder: Path, number: int) -> Path:
    return folder / f".alive.{number}"


@contextmanager
def signs_of_life(folder: Path, number: int) -> Iterator[None]:
    """Touch the trial's file every few seconds, from now on to the end of the block, and remove it."""
    path = sign_file(folder, number)
    with suppress(OSError):  # a full disk, which the job will meet, too
        path.touch()
    try:
        _begin_to_give_signs(os.getpid())
        _running.add(path)
        yield
    finally:
        _running.discard(path)
        with suppress(OSError):
            path.unlink()


@lru_cache(maxsize=1)  # one thread for all trials of a process, of which a fork has none
def _begin_to_give_signs(pid: int) -> None:
    _running.clear()
    threading.Thread(target=_give_signs, daemon=True).start()


def _give_signs() -> None:
    while True:
        time.sleep(SECONDS_BETWEEN_SIGNS)
        for path in _running.copy():
            with suppress(OSError):
                os.utime(path)  # unlike `touch` it creates none where the trial has just ended


class Watch:
    """Looks at the signs of life of other drivers.

    Hosts need not agree on the time: what counts is how long, by the clock of who looks, a file has not changed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last: dict[
            int, tuple[int, float]
        ] = {}  # number of the trial: its last sign, and when that was first seen

    def is_silent(self, number: int) -> bool:
        """Whether the trial gave signs, but no new one since `SECONDS_OF_SILENCE`."""
        try:
            sign = sign_file(self.folder, number).stat().st_mtime_ns
        except OSError:
            self._last.pop(number, None)
            return False
        last, since = self._last.get(number, (None, 0.0))
        if sign != last:
            since = time.monotonic()
            self._last[number] = sign, since
        return time.monotonic() - since > SECONDS_OF_SILENCE

    def sees(self, number: int) -> bool:
        return sign_file(self.folder, number).exists()
