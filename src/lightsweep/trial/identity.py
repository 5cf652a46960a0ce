"""The identity of the processes that run a trial, by which others know whether it still runs."""

import os
import socket
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

OWNER = "owner"  # the user attribute of a trial that holds the record of its `Owner`
DEVICE = "device"  # the user attribute of a trial that names where it trains
START_TIME_TOLERANCE_S = 1.0  # two readings of the start time may differ by a clock tick


@dataclass(frozen=True)
class ProcessIdentity:
    """One process. The start time tells it from a later process with the same id.

    `pid_namespace` tells containers apart that have the host name in common; it is empty where there is no such thing.
    """

    host: str
    pid: int
    started: float
    pid_namespace: str = ""

    @classmethod
    def here(cls) -> "ProcessIdentity":
        """Return the identity of the running process."""
        return cls(socket.gethostname(), os.getpid(), _start_time(os.getpid()), _pid_namespace())

    @classmethod
    def from_record(cls, record: Any) -> "ProcessIdentity | None":
        """Read what `to_record` wrote into a study; None if it is anything else."""
        try:
            namespace = str(record.get("pid_namespace", ""))  # an earlier version wrote none
            return cls(str(record["host"]), int(record["pid"]), float(record["started"]), namespace)
        except (AttributeError, TypeError, KeyError, ValueError):
            return None

    def to_record(self) -> dict[str, Any]:
        return asdict(self)

    def is_remote(self) -> bool:
        is_other_namespace = bool(self.pid_namespace) and self.pid_namespace != _pid_namespace()
        return self.host != socket.gethostname() or is_other_namespace

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


@lru_cache(maxsize=1)
def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux
        return ""


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
