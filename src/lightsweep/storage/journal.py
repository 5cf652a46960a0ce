"""A journal that a kill, a full disk or a power loss in the middle of a write does not spoil."""

import json
import os
import shlex
import sys
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from lightsweep.errors import ConfigError

RECORD = b'{"op_code":'  # how Optuna begins each line
SECONDS_TO_LOCK = 10  # after which the lock of a killed process is taken over; a slow disk may need some of them


def open_journal(path: str, *, grace_period: int = SECONDS_TO_LOCK) -> JournalStorage:
    """Open a journal, creating it if need be; a torn end is cut off.

    A lock that a killed process left is taken over after `grace_period` seconds, at least 3.
    Raises `ConfigError` if a line before the end is damaged, and `ValueError` if the file is no journal.
    """
    link = Path(f"{path}.lock")
    if link.is_symlink() and not link.exists():  # of an earlier version, moved since: Optuna would wait without end
        link.unlink(missing_ok=True)
    lock = RepairingLock(path, grace_period)
    backend = JournalFileBackend(path, lock)
    _repair(path, lock)
    try:
        return JournalStorage(backend)
    except (ValueError, KeyError, TypeError):  # a line that is no JSON, or no record
        _refuse_damage(path)
        raise


class RepairingLock(JournalFileOpenLock):
    """Optuna's lock of a journal file, which leaves no unfinished line in it.

    A write that a kill or a full disk ended leaves the beginning of a line. Optuna would append to it, and from then on
    nobody could read the file. No process has read a line without its newline, so the holder of the lock can cut it
    off. A line that has its newline may have been read, and stays.
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
    """Cut off a torn end and the zeros of a power loss; raises as `open_journal` does."""
    data = Path(path).read_bytes()
    if not _is_journal(data):
        raise ValueError("it is not a journal")
    if _sound_size(data) < len(data):  # or another process is just writing
        lock.acquire()
        try:
            data = Path(path).read_bytes()
            os.truncate(path, _sound_size(data))
        finally:
            lock.release()
    sound = data[: _sound_size(data)]
    if sound and not _is_record(sound[:-1].rpartition(b"\n")[2]):
        _refuse_damage(path)  # Optuna would not say so before the next line follows


def _sound_size(data: bytes) -> int:
    """Return the number of bytes of a journal before a torn end.

    Some file systems show zeros for data that was not on the disk yet when the power went.
    """
    size = data.rfind(b"\n") + 1
    last_line = data.rfind(b"\n", 0, max(0, size - 1)) + 1
    return last_line if b"\0" in data[last_line:size] else size


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line)["op_code"], int)
    except (ValueError, KeyError, TypeError):
        return False


def _is_journal(data: bytes) -> bool:
    whole_lines = data.split(b"\n")[:-1]
    if whole_lines:
        return any(map(_is_record, whole_lines))
    beginning = data.rstrip(b"\0")
    return beginning.startswith(RECORD) or RECORD.startswith(beginning)


def _refuse_damage(path: str) -> None:
    for number, line in enumerate(Path(path).read_bytes().split(b"\n")[:-1], start=1):
        if not _is_record(line):
            kept = shlex.quote(f"{path}.mended")
            raise ConfigError(
                f"line {number} of the journal '{path}' is damaged, so the study can't be read. Put back a copy of the"
                f" file if there is one. Else keep what was written before that line: head -n {number - 1}"
                f" {shlex.quote(path)} > {kept} && mv {kept} {shlex.quote(path)}; then start the search again."
            )
