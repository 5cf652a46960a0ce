"""The heartbeat of a driver: a record in the study, which every host that reaches the storage can read."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import optuna

from lightsweep.trial.identity import ProcessIdentity

DRIVERS = "lightsweep:driver:"  # the beginning of the user attribute of each driver
MISSED_BEATS = 4  # after which a driver is taken for gone
DEFAULT_INTERVAL_S = 30.0  # of a driver whose record can't be read
POLL_INTERVAL_S = 0.5
STOP, STOP_AT_ONCE = "after the epoch", "at once"


def key_of(driver: ProcessIdentity) -> str:
    key = f"{DRIVERS}{driver.host}:{driver.pid}:{driver.started:.0f}"
    return f"{key}:{driver.pid_namespace}" if driver.pid_namespace else key


class Heartbeat:
    """Writes the record of this driver every `interval` seconds, and soon after a request to stop."""

    def __init__(self, study: optuna.Study, *, interval: float) -> None:
        self.study = study
        self.interval = interval
        self.driver = ProcessIdentity.here()
        self._beat = 0
        self._stop: str | None = None
        self._ended = threading.Event()

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat in the block. At its end the record says that the driver has ended."""
        self._write()
        threading.Thread(target=self._run, daemon=True).start()
        try:
            yield
        finally:
            self._ended.set()
            with suppress(Exception):  # the storage may be gone; then the heartbeat is silent
                self._write(ended=True)

    def request_stop(self, *, at_once: bool) -> None:
        """Ask the jobs on other hosts to stop. Takes no lock, because signal handlers call it."""
        self._stop = STOP_AT_ONCE if at_once else STOP

    def _run(self) -> None:
        written, told = time.monotonic(), self._stop
        while not self._ended.wait(min(POLL_INTERVAL_S, self.interval)):
            if self._stop == told and time.monotonic() - written < self.interval:
                continue
            stop = self._stop
            with suppress(Exception):  # a database that restarts, a full disk: the next beat may succeed
                self._write()
                written, told = time.monotonic(), stop

    def _write(self, **more: Any) -> None:
        self._beat += 1
        record = {**self.driver.to_record(), "beat": self._beat, "interval": self.interval, "stop": self._stop, **more}
        record["time"] = time.time()  # only to be shown, because the clocks of two hosts may differ
        self.study.set_user_attr(key_of(self.driver), record)


class HeartbeatMonitor:
    """Reads the records of drivers, and detects which have stopped.

    The clocks of two hosts may differ, so it measures with its own clock how long a record has not changed.
    """

    def __init__(self, study: optuna.Study) -> None:
        self.study = study
        self._last: dict[str, tuple[Any, float]] = {}  # key -> its record, when that was first seen

    def is_silent(self, driver: ProcessIdentity) -> bool:
        """True if the driver has ended, or its record has not changed for `timeout_s`."""
        key, record = key_of(driver), self._record(driver)
        if _has_ended(record):
            return True
        if key not in self._last or record != self._last[key][0]:
            self._last[key] = record, time.monotonic()
        return time.monotonic() - self._last[key][1] > _timeout_of(record)

    def timeout_s(self, driver: ProcessIdentity) -> float:
        """Return after how many seconds without a heartbeat the driver is taken for gone."""
        return _timeout_of(self._record(driver))

    def stop_request(self, driver: ProcessIdentity) -> str | None:
        """Return `STOP` or `STOP_AT_ONCE` if the driver asks its jobs to stop."""
        return self._record(driver).get("stop")

    def _record(self, driver: ProcessIdentity) -> dict[str, Any]:
        record = self.study.user_attrs.get(key_of(driver))
        return record if isinstance(record, dict) else {}


def _timeout_of(record: dict[str, Any]) -> float:
    interval = record.get("interval")
    return MISSED_BEATS * (interval if isinstance(interval, int | float) else DEFAULT_INTERVAL_S)


def has_other_drivers(study: optuna.Study) -> bool:
    """True if other drivers may be running trials of this study."""
    own = key_of(ProcessIdentity.here())
    return any(
        (driver := ProcessIdentity.from_record(record)) is not None and driver.may_be_alive()
        for key, record in study.user_attrs.items()
        if key.startswith(DRIVERS) and key != own and not _has_ended(record)
    )


def _has_ended(record: Any) -> bool:
    return isinstance(record, dict) and bool(record.get("ended"))
