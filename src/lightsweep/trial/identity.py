"""Who runs a trial, so that a later start can tell a trial that is being run from one whose process is gone."""

import os
import socket
from dataclasses import asdict, dataclass
from typing import Any

import psutil

OWNER = "owner"  # the user attribute of a trial that holds the record
SECONDS_OF_DOUBT = 1.0  # two readings of one process's start time may differ by a clock tick


@dataclass(frozen=True)
class ProcessIdentity:
    """One process: a process id alone can be another process's by now."""

    host: str
    pid: int
    started: float

    @classmethod
    def here(cls) -> "ProcessIdentity":
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

    def is_elsewhere(self) -> bool:
        return self.host != socket.gethostname()

    def may_be_alive(self) -> bool:
        """Whether the process runs, as far as can be seen: of another host nothing can."""
        if self.is_elsewhere():
            return True
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < SECONDS_OF_DOUBT
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
