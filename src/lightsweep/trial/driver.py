"""What a worker knows of the process that drives its search."""

import json
import os
import signal
import threading
import time
from functools import lru_cache
from typing import Any

from lightsweep.sweeper.config import DRIVER
from lightsweep.trial.identity import ProcessIdentity

SECONDS_BETWEEN_LOOKS = 1.0

_busy = threading.Event()
_told_to_end = threading.Event()
_own_sigterm: Any = None


def register_driver() -> None:
    """Tell the workers that this process is about to start who started them."""
    os.environ[DRIVER] = json.dumps(ProcessIdentity.here().to_record())


def driver() -> ProcessIdentity | None:
    return ProcessIdentity.from_record(json.loads(os.environ.get(DRIVER, "null")))


def is_worker() -> bool:
    """Whether this process was started by a driver and is not the driver itself."""
    return driver() not in (None, ProcessIdentity.here())


def is_orphaned() -> bool:
    """Whether the driver is gone, killed perhaps, so that nobody waits for what this process does."""
    owner = driver()
    return owner is not None and owner.pid != os.getpid() and not owner.may_be_alive()


def begin_job() -> None:
    """Let a worker follow its driver: stopped by it alone, not by Ctrl-C, and gone soon after it is gone."""
    global _own_sigterm
    _told_to_end.clear()
    in_main_thread = threading.current_thread() is threading.main_thread()
    if is_worker():
        _busy.set()
        _leave_when_orphaned()
        if in_main_thread:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to every process
            signal.signal(signal.SIGTERM, lambda *_: _told_to_end.set())  # a scheduler wants this one back
    _own_sigterm = signal.getsignal(signal.SIGTERM) if in_main_thread else None


def restore_sigterm_handler() -> None:
    """Undo what Lightning does with SIGTERM at the start of a fit: it would end the trial in the middle of an epoch."""
    if _own_sigterm is not None:
        signal.signal(signal.SIGTERM, _own_sigterm)


def is_told_to_end() -> bool:
    """Whether this worker, and not the search, was asked to end: its trial is to go on elsewhere."""
    return _told_to_end.is_set()


def end_job() -> None:
    _busy.clear()


@lru_cache(maxsize=1)  # one watch per process
def _leave_when_orphaned() -> None:
    def watch() -> None:
        while _busy.is_set() or not is_orphaned():
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)  # a pool would keep it, and its memory, for minutes

    threading.Thread(target=watch, daemon=True).start()
