"""The relation of a worker to its driver, the process that runs the search."""

import json
import os
import signal
import threading
import time
from functools import lru_cache
from typing import Any

from lightsweep.sweeper.config import DRIVER
from lightsweep.trial.identity import Owner, ProcessIdentity

POLL_INTERVAL_S = 1.0

_busy = threading.Event()
_sigterm = threading.Event()
_own_sigterm_handler: Any = None


def register_driver() -> None:
    """Name this process as the driver of the workers that it is about to start."""
    os.environ[DRIVER] = json.dumps(ProcessIdentity.here().to_record())


def driver() -> ProcessIdentity | None:
    return ProcessIdentity.from_record(json.loads(os.environ.get(DRIVER, "null")))


def owner_here() -> Owner:
    """Return what this process signs a trial with."""
    here = ProcessIdentity.here()
    return Owner(here, driver() or here)


def is_worker() -> bool:
    """True if a driver started this process; false in the driver itself."""
    return driver() not in (None, ProcessIdentity.here())


def is_orphaned() -> bool:
    """True if the driver of this worker was killed, so that nothing reads its results; a remote one is never gone."""
    owner = driver()
    return owner is not None and owner.pid != os.getpid() and not owner.may_be_alive()


def begin_job() -> None:
    """Prepare a worker for a job: only its driver stops it, not Ctrl-C, and it exits soon after the driver."""
    global _own_sigterm_handler
    in_main_thread = threading.current_thread() is threading.main_thread()
    if is_worker():
        _busy.set()
        _exit_when_orphaned()
        if in_main_thread:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to every process
            signal.signal(signal.SIGTERM, ask_to_end)  # a scheduler ends this worker alone
    _own_sigterm_handler = signal.getsignal(signal.SIGTERM) if in_main_thread else None


def end_job() -> None:
    _busy.clear()
    _sigterm.clear()


def ask_to_end(*_: object) -> None:
    """Ask this worker, as a signal handler does, to end its job after the epoch."""
    _sigterm.set()


def restore_sigterm_handler() -> None:
    """Replace the SIGTERM handler that Lightning sets when a fit starts: it would end the trial within an epoch."""
    if _own_sigterm_handler is not None:
        signal.signal(signal.SIGTERM, _own_sigterm_handler)


def has_sigterm() -> bool:
    """True if this worker, and not the whole search, is asked to end: another worker continues its trial."""
    return _sigterm.is_set()


@lru_cache(maxsize=1)  # one thread per process
def _exit_when_orphaned() -> None:
    def watch() -> None:
        while _busy.is_set() or not is_orphaned():
            time.sleep(POLL_INTERVAL_S)
        os._exit(1)  # a process pool would keep the worker, and its memory, for minutes

    threading.Thread(target=watch, daemon=True).start()
