"""A journal that a kill, a full disk or a power loss in the middle of a write does not spoil."""

import fcntl
import json
import os
import shlex
import socket
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import FrozenTrial, TrialState

from lightsweep.errors import ConfigError

RECORD = b'{"op_code":'  # how Optuna begins each line

# What must be on the disk before anyone goes on. It comes after all that was written before, which a power loss may
# take as long as its trial is running: then the trial is run again.
DECISIVE = (JournalOperation.CREATE_STUDY, JournalOperation.CREATE_TRIAL, JournalOperation.SET_TRIAL_STATE_VALUES)


def open_journal(path: str) -> "Journal":
    """Open a journal, creating it if need be; a torn end is cut off.

    Raises `ConfigError` if a line before that is damaged, and `ValueError` if the file is no journal.
    """
    backend = JournalBackend(path)
    backend.mend()
    try:
        return Journal(backend)
    except (ValueError, KeyError, TypeError):  # a line that is no JSON, or no record
        _refuse_damage(path)
        raise


class Journal(JournalStorage):
    """A study in a journal, which several records reach by one write."""

    def __init__(self, backend: "JournalBackend") -> None:
        self._kept: dict[int, list[dict[str, Any]]] = {}  # by thread, while it is in a block
        super().__init__(backend)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what this thread records in the block at its end, also if that comes by an exception.

        Until then nobody reads it, not even this thread.
        """
        thread = threading.get_ident()
        kept = self._kept.setdefault(thread, [])
        try:
            yield
        finally:
            del self._kept[thread]
            with self._thread_lock:
                if kept:
                    self._backend.append_logs(kept)
                self._sync_with_backend()

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """As Optuna's, which asks of each trial what need be asked once: it is called five times per trial."""
        if deepcopy:
            return super().get_all_trials(study_id, deepcopy, states)
        with self._thread_lock:
            self._sync_with_backend()
            trials = [
                *map(self._replay_result._trials.__getitem__, self._replay_result._study_id_to_trial_ids[study_id])
            ]
        return trials if states is None else [trial for trial in trials if trial.state in states]

    def _write_log(self, op_code: int, extra_fields: dict[str, Any]) -> None:
        kept = self._kept.get(threading.get_ident())
        if kept is None:
            super()._write_log(op_code, extra_fields)
        else:
            kept.append({"op_code": op_code, "worker_id": self._replay_result.worker_id, **extra_fields})


class JournalBackend(JournalFileBackend):
    """Optuna's journal file, without what was left of a write that did not come to its end.

    Optuna would append to such a rest, and from then on nobody could read the file. A line without its newline is in
    nobody's memory: `read_logs` passes over it and reads on from its beginning the next time. So it can be cut off
    under the lock. A line that has its newline may have been read, and stays.
    """

    def __init__(self, file_path: str, *, grace_period: int = 30) -> None:
        super().__init__(file_path, HolderLock(file_path, grace_period=grace_period))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with self._locked() as file:
            _cut_torn_line(file)
            try:
                _write_all(file, lines)
            except OSError:  # a full disk
                with suppress(OSError):
                    _cut_torn_line(file)
                raise
            if any(log["op_code"] in DECISIVE for log in logs):
                os.fsync(file.fileno())

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """The records from a number on; if there are none, as at most calls, nothing is read."""
        end_of_read = self._log_number_offset.get(log_number_from)
        if end_of_read is not None and self._size() == end_of_read:
            return iter(())
        return super().read_logs(log_number_from)

    def _size(self) -> int:
        """Of the opened file: without opening it NFS may tell what was so some seconds ago."""
        fd = os.open(self._file_path, os.O_RDONLY)
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def mend(self) -> None:
        """Cut a torn end off; raises as `open_journal` does."""
        data = Path(self._file_path).read_bytes()
        if not _is_journal(data):
            raise ValueError("it is not a journal")
        if _sound_size(data) < len(data):  # or somebody is just writing
            with self._locked() as file:
                data = Path(self._file_path).read_bytes()
                file.truncate(_sound_size(data))
        sound = data[: _sound_size(data)]
        if sound and not _is_record(sound[:-1].rpartition(b"\n")[2]):
            _refuse_damage(self._file_path)  # Optuna would not say so before the next line follows

    @contextmanager
    def _locked(self) -> Iterator[FileIO]:
        self._lock.acquire()
        try:
            # Unbuffered: closing a buffer would write the rest of a failed write once more.
            with Path(self._file_path).open("ab+", buffering=0) as file:
                yield file
        finally:
            self._lock.release()


class HolderLock(BaseJournalFileLock):
    """Optuna's lock, which is a symbolic link, broken at once if the process of this host that held it is dead.

    A link outlives a killed process, the kernel's lock on the journal does not. Each of our processes takes the
    kernel's lock and then makes the link, which points to a file that is named for this host. So whoever has the
    kernel's lock and finds such a link knows that its maker is dead: alive, it would have the kernel's lock. A kill at
    any moment leaves one or the other. Who else may be there:

    - Another of us: only one has the kernel's lock, and the next finds that one's link gone.
    - Plain Optuna: its link points to the journal, so it is left alone, also where it took over from a dead process
      after the grace period. It waits for our link as for its own, and needs it to point to a file that exists.
    - Another host, on a file system whose kernel locks end at the host: its link names that host.
    - On a file system without kernel locks our link points to the journal, and the grace period holds for everyone.
    """

    def __init__(self, journal: str, *, grace_period: int = 30) -> None:
        self._journal = journal
        self._link = JournalFileSymlinkLock(journal, grace_period)
        self._mark = Path(f"{journal}.lock.{socket.gethostname()}").absolute()
        self._kernel_lock: int | None = None

    def acquire(self) -> bool:
        self._kernel_lock = self._take_kernel_lock()
        try:
            if self._kernel_lock is not None and self._is_marked():
                self._link.release()
            self._link._lock_target_file = self._target()
            return self._link.acquire()
        except BaseException:
            self._drop_kernel_lock()
            raise

    def release(self) -> None:
        try:
            self._link.release()
            if self._kernel_lock is not None:
                self._mark.unlink(missing_ok=True)
        finally:
            self._drop_kernel_lock()

    def _is_marked(self) -> bool:
        try:
            return Path(self._link._lock_file).readlink() == self._mark
        except OSError:
            return False

    def _target(self) -> str:
        if self._kernel_lock is not None:
            with suppress(OSError):  # a full disk
                self._mark.touch()
                return str(self._mark)
        return self._journal

    def _take_kernel_lock(self) -> int | None:
        fd = os.open(self._journal, os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except BaseException as error:
            os.close(fd)
            if isinstance(error, OSError):
                return None
            raise
        return fd

    def _drop_kernel_lock(self) -> None:
        if self._kernel_lock is not None:
            fcntl.flock(self._kernel_lock, fcntl.LOCK_UN)  # closing is not enough while a forked child has a copy
            os.close(self._kernel_lock)
            self._kernel_lock = None


def _write_all(file: FileIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]


def _cut_torn_line(file: FileIO) -> None:
    size = file.seek(0, os.SEEK_END)
    if size == 0 or os.pread(file.fileno(), 1, size - 1) == b"\n":
        return
    file.truncate(os.pread(file.fileno(), size, 0).rfind(b"\n") + 1)


def _sound_size(data: bytes) -> int:
    """How much of a journal is left without a torn end.

    Zeros are what some file systems show for data that was not on the disk yet when the power went.
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
