"""`hydra.sweeper.trial_timeout`, kept by the job itself, one job at a time per process.

The training calls `check_time` between batches. If it hangs, an alarm raises in the main thread after a grace period.
If Python code doesn't run at all, a worker exits after a second grace period and its driver sees it die; in the
driver's own process nothing can end such a job.
"""

import os
import signal
import threading
import time
from dataclasses import dataclass

from lightsweep.failures import TrialTimeoutError
from lightsweep.trial.driver import is_worker

GRACE_S = 10.0


@dataclass
class _Limit:
    seconds: float | None = None
    deadline: float = float("inf")
    last_resort: threading.Timer | None = None


_limit = _Limit()


def limit_time(seconds: float | None) -> None:
    """Start the time limit of a new job; None is no limit."""
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
    """Raise `TrialTimeoutError` if the job has used up its time."""
    if time.monotonic() > _limit.deadline:
        raise TrialTimeoutError(f"it took longer than hydra.sweeper.trial_timeout={_limit.seconds:g}")
