"""The identity of the process that runs a trial, by which a later start knows whether it still runs."""

import os
import socket
from dataclasses import asdict, dataclass
from typing import Any

import psutil

OWNER = "owner"  # the user attribute of a trial that holds the record
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
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

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
