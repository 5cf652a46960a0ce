"""What a worker knows of the process that drives its search."""

import json
import os
import signal
import threading
import time
from functools import lru_cache

from lightsweep.sweeper.config import DRIVER
from lightsweep.sweeper.owner import Owner

SECONDS_BETWEEN_LOOKS = 1.0

_busy = threading.Event()


def sign_as_driver() -> None:
    """Tell the workers that this process is about to start who started them."""
    os.environ[DRIVER] = json.dumps(Owner.here().to_record())


def driver() -> Owner | None:
    return Owner.from_record(json.loads(os.environ.get(DRIVER, "null")))


def is_worker() -> bool:
    """Whether this process was started by a driver and is not the driver itself."""
    return driver() not in (None, Owner.here())


def is_orphaned() -> bool:
    """Whether the driver is gone, killed perhaps, so that nobody waits for what this process does."""
    here = driver()
    return here is not None and not here.may_be_alive()


def begin_job() -> None:
    """Let a worker follow its driver: stopped by it alone, not by Ctrl-C, and gone soon after it is gone."""
    if not is_worker():
        return
    _busy.set()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to every process
    _leave_when_orphaned()


def end_job() -> None:
    _busy.clear()


@lru_cache(maxsize=1)  # one watch per process
def _leave_when_orphaned() -> None:
    def watch() -> None:
        while _busy.is_set() or not is_orphaned():
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)  # a pool would keep it, and its memory, for minutes

    threading.Thread(target=watch, daemon=True).start()
