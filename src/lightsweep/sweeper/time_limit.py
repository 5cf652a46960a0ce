"""`hydra.sweeper.trial_timeout` as the job keeps it: politely first, then by force."""

import os
import signal
import threading
import time
from types import FrameType

from lightsweep.failures import TrialTimeoutError
from lightsweep.sweeper.driver import is_worker

GRACE_S = 10.0  # for a training that looks at the time between batches; one that hangs is then interrupted


class TimeLimit:
    """The time that the job of this process has. There is one job at a time in a process.

    `check` is asked between batches. Where nobody asks, an alarm raises in the main thread; and where Python gets no
    turn either, a worker ends itself, for its driver to see. In the driver's own process nothing can do that.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.deadline = float("inf") if seconds is None else time.monotonic() + seconds
        self._last_resort: threading.Timer | None = None

    def start(self) -> None:
        if self.seconds is None:
            return
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, self._on_alarm)
            signal.setitimer(signal.ITIMER_REAL, self.seconds + GRACE_S)
        if is_worker():
            self._last_resort = threading.Timer(self.seconds + 2 * GRACE_S, os._exit, args=(1,))
            self._last_resort.daemon = True
            self._last_resort.start()

    def lift(self) -> None:
        self.deadline = float("inf")
        if self.seconds is not None and threading.current_thread() is threading.main_thread():
            signal.setitimer(signal.ITIMER_REAL, 0)
        if self._last_resort is not None:
            self._last_resort.cancel()

    def check(self) -> None:
        """Raise `TrialTimeoutError` if the time is over."""
        if time.monotonic() > self.deadline:
            raise TrialTimeoutError(f"it took longer than hydra.sweeper.trial_timeout={self.seconds:g}")

    def _on_alarm(self, _: int, __: FrameType | None) -> None:
        self.check()


_current = TimeLimit(None)


def limit_time(seconds: float | None) -> None:
    """Begin the time of a new job."""
    global _current
    _current.lift()
    _current = TimeLimit(seconds)
    _current.start()


def lift_time_limit() -> None:
    _current.lift()


def check_time() -> None:
    _current.check()
