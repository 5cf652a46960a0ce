"""`hydra.sweeper.trial_timeout` as the job keeps it: politely first, then by force.

There is one job at a time in a process. `check_time` is asked between batches. Where nobody asks, an alarm raises in
the main thread; and where Python gets no turn either, a worker ends itself, for its driver to see. In the driver's own
process nothing can do that.
"""

import os
import signal
import threading
import time
from dataclasses import dataclass

from lightsweep.failures import TrialTimeoutError
from lightsweep.trial.driver import is_worker

GRACE_S = 10.0  # for a training that looks at the time between batches; one that hangs is then interrupted


@dataclass
class _Limit:
    seconds: float | None = None
    deadline: float = float("inf")
    last_resort: threading.Timer | None = None


_limit = _Limit()


def limit_time(seconds: float | None) -> None:
    """Begin the time of a new job; null is no limit."""
    global _limit
    lift_time_limit()
    if seconds is None:
        return
    _limit = _Limit(seconds, time.monotonic() + seconds)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGALRM, lambda *_: check_time())
        signal.setitimer(signal.ITIMER_REAL, seconds + GRACE_S)
    if is_worker():
        _limit.last_resort = threading.Timer(seconds + 2 * GRACE_S, os._exit, args=(1,))
        _limit.last_resort.daemon = True
        _limit.last_resort.start()


def lift_time_limit() -> None:
    global _limit
    if _limit.seconds is not None and threading.current_thread() is threading.main_thread():
        signal.setitimer(signal.ITIMER_REAL, 0)
    if _limit.last_resort is not None:
        _limit.last_resort.cancel()
    _limit = _Limit()


def check_time() -> None:
    """Raise `TrialTimeoutError` if the time is over."""
    if time.monotonic() > _limit.deadline:
        raise TrialTimeoutError(f"it took longer than hydra.sweeper.trial_timeout={_limit.seconds:g}")
