"""Optuna's journal file, which here survives a kill, a full disk or a power loss during a write."""

import json
import os
import shlex
import sys
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from lightsweep.errors import ConfigError

RECORD = b'{"op_code":'  # the beginning of each of Optuna's lines
LOCK_GRACE_S = 10  # a slow disk may hold the lock for seconds


def open_journal(path: str, *, grace_period: int = LOCK_GRACE_S) -> JournalStorage:
    """Open a journal, or create it; cut off an unfinished line at the end.

    The lock that a killed process left is taken over after `grace_period` seconds, at least 3.
    Raise `ConfigError` if a line before the end is damaged, and `ValueError` if the file is not a journal.
    """
    link = Path(f"{path}.lock")
    if link.is_symlink() and not link.exists():  # left by an earlier version; Optuna would wait for it forever
        link.unlink(missing_ok=True)
    lock = RepairingLock(path, grace_period)
    backend = JournalFileBackend(path, lock)
    _repair(path, lock)
    try:
        return JournalStorage(backend)
    except (ValueError, KeyError, TypeError):  # a line is not JSON, or not a record
        _raise_at_damaged_line(path)
        raise


class RepairingLock(JournalFileOpenLock):
    """Optuna's lock of a journal file, which also removes an unfinished line.

    A kill or a full disk during a write leaves the beginning of a line. Optuna would append the next record to it, and
    the file could no longer be read. Readers skip a line without a newline, so the holder of the lock can remove it.
    A line with its newline may have been read, and stays.
    """

    def __init__(self, journal: str, grace_period: int) -> None:
        super().__init__(journal, grace_period)
        self.journal = journal

    def acquire(self) -> bool:
        super().acquire()
        try:
            _cut_unfinished_line(self.journal)
        except BaseException:
            super().release()
            raise
        return True

    def release(self) -> None:
        try:
            if sys.exception() is not None:  # the write failed
                _cut_unfinished_line(self.journal)
        finally:
            super().release()


def _cut_unfinished_line(path: str) -> None:
    with Path(path).open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0 or os.pread(file.fileno(), 1, size - 1) == b"\n":
            return
        file.truncate(os.pread(file.fileno(), size, 0).rfind(b"\n") + 1)


def _repair(path: str, lock: RepairingLock) -> None:
    """Cut off an unfinished line and the zeros of a power loss. Raise the errors of `open_journal`."""
    data = Path(path).read_bytes()
    if not _is_journal(data):
        raise ValueError("it is not a journal")
    if _intact_size(data) < len(data):  # unless another process is writing this line now
        lock.acquire()
        try:
            data = Path(path).read_bytes()
            os.truncate(path, _intact_size(data))
        finally:
            lock.release()
    intact = data[: _intact_size(data)]
    if intact and not _is_record(intact[:-1].rpartition(b"\n")[2]):
        _raise_at_damaged_line(path)  # Optuna ignores a damaged last line until another follows


def _is_journal(data: bytes) -> bool:
    whole_lines = data.split(b"\n")[:-1]
    if whole_lines:
        return any(map(_is_record, whole_lines))
    beginning = data.rstrip(b"\0")
    return beginning.startswith(RECORD) or RECORD.startswith(beginning)


def _intact_size(data: bytes) -> int:
    """Return the number of bytes before an unfinished line or zeros.

    After a power loss some file systems show zeros for data that was not on the disk yet.
    """
    size = data.rfind(b"\n") + 1
    last_line = data.rfind(b"\n", 0, max(0, size - 1)) + 1
    return last_line if b"\0" in data[last_line:size] else size


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line)["op_code"], int)
    except (ValueError, KeyError, TypeError):
        return False


def _raise_at_damaged_line(path: str) -> None:
    for number, line in enumerate(Path(path).read_bytes().split(b"\n")[:-1], start=1):
        if not _is_record(line):
            raise ConfigError(
                f"line {number} of the journal '{path}' is damaged, so the study can't be read. Restore a backup of the"
                f" file.{_way_without_backup(path, number)}"
            )


def _way_without_backup(path: str, damaged_line: int) -> str:
    if damaged_line == 1:  # it creates the study, and no later line can be read without it
        return " Without one the study is lost; what its trials gave is in trials.csv."
    source, shortened = shlex.quote(path), shlex.quote(f"{path}.shortened")
    return (
        " Without one, keep the study up to the damaged line; the trials that are recorded in later lines are lost:"
        f" cp {source} {source}.damaged && head -n {damaged_line - 1} {source} > {shortened}"
        f" && mv {shortened} {source}; then start the search again."
    )
