"""The identity of the processes that run a trial, by which others know whether it still runs."""

import os
import socket
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import psutil

OWNER = "owner"  # the user attribute of a trial that holds the record of its `Owner`
DEVICE = "device"  # the user attribute of a trial that names where it trains
START_TIME_TOLERANCE_S = 1.0  # two readings of the start time may differ by a clock tick


@dataclass(frozen=True)
class ProcessIdentity:
    """One process. The start time tells it from a later process with the same id."""

    host: str
    pid: int
    started: float

    @classmethod
    def here(cls) -> "ProcessIdentity":
        """Return the identity of the running process."""
        return cls(socket.gethostname(), os.getpid(), _start_time(os.getpid()))

    @classmethod
    def from_record(cls, record: Any) -> "ProcessIdentity | None":
        """Read what `to_record` wrote into a study; None if it is anything else."""
        try:
            return cls(str(record["host"]), int(record["pid"]), float(record["started"]))
        except (TypeError, KeyError, ValueError):
            return None

    def to_record(self) -> dict[str, Any]:
        return asdict(self)

    def is_remote(self) -> bool:
        return self.host != socket.gethostname()

    def may_be_alive(self) -> bool:
        """True if the process may be alive; processes on other hosts are assumed alive."""
        if self.is_remote():
            return True
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.started) < START_TIME_TOLERANCE_S
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@lru_cache(maxsize=1)  # a second reading may differ by a clock tick
def _start_time(pid: int) -> float:
    return psutil.Process(pid).create_time()


@dataclass(frozen=True)
class Owner:
    """The process that trains a trial, and the driver that reads its result; in a single process both are the same."""

    process: ProcessIdentity
    driver: ProcessIdentity

    @classmethod
    def of(cls, trial: Any) -> "Owner | None":
        """Return the owner of a trial, None if nobody has signed it."""
        record = trial.user_attrs.get(OWNER)
        process = ProcessIdentity.from_record(record)
        if process is None:
            return None
        return cls(process, ProcessIdentity.from_record(record.get("driver")) or process)

    def to_record(self) -> dict[str, Any]:
        return {**self.process.to_record(), "driver": self.driver.to_record()}

    def is_here(self) -> bool:
        """True if this process is one of the two."""
        return ProcessIdentity.here() in (self.process, self.driver)
