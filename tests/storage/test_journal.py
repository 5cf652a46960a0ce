"""The journal: whatever interrupts a write, whole lines are kept and new ones can be appended."""

import errno
import multiprocessing
import os
import random
import resource
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from lightsweep.errors import ConfigError
from lightsweep.storage.journal import RepairingLock, open_journal

SPAWN = multiprocessing.get_context("spawn")
AN_HOUR = 3600
GRACE = 3  # seconds, the least that Optuna takes without a warning
TORN = b'{"op_code":8,"worker_id":"x","trial_id":0,"user_a'


def add_trial(storage: JournalStorage, value: float) -> None:
    optuna.load_study(study_name="one", storage=storage).add_trial(
        optuna.trial.create_trial(value=value, user_attrs={"note": "as long as a record is"})
    )


def values(storage: JournalStorage) -> list[float]:
    return [trial.value or 0.0 for trial in optuna.load_study(study_name="one", storage=storage).trials]


def plain(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "study.journal"
    storage = plain(path)
    optuna.create_study(study_name="one", storage=storage)
    for value in (0.0, 1.0, 2.0):
        add_trial(storage, value)
    return path


def test_a_journal_that_is_cut_within_its_last_two_lines_keeps_the_whole_ones(journal: Path) -> None:
    data = journal.read_bytes()
    *_, last_but_one, last = data.splitlines(keepends=True)
    for size in range(len(data) - len(last_but_one) - len(last), len(data) + 1):
        journal.write_bytes(data[:size])
        n_whole = data[:size].count(b"\n") - 1  # without the one that created the study
        storage = open_journal(str(journal))
        assert values(storage) == [0.0, 1.0, 2.0][:n_whole]
        add_trial(storage, 9.0)
        assert values(plain(journal)) == [*[0.0, 1.0, 2.0][:n_whole], 9.0]


def test_an_unfinished_line_of_another_process_is_removed_by_the_next_write(journal: Path) -> None:
    writer, reader = open_journal(str(journal)), plain(journal)
    with journal.open("ab") as file:
        file.write(TORN)
    assert values(reader) == [0.0, 1.0, 2.0]
    add_trial(writer, 3.0)
    assert values(reader) == values(plain(journal)) == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("end", [b"\0" * 50, TORN + b"\0" * 50, TORN + b"\0" * 50 + b"\n", b"\0\n", b"\0\n\0\0"])
def test_zeros_of_a_power_loss_are_removed(end: bytes, journal: Path) -> None:
    whole = journal.read_bytes()
    journal.write_bytes(whole + end)
    add_trial(open_journal(str(journal)), 3.0)
    assert journal.read_bytes().startswith(whole + b'{"op_code"')
    assert values(plain(journal)) == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("data", [b"", b"{", TORN, b'{"op_\0\0\0', b"\0\0\0"])
def test_a_journal_without_a_whole_line_is_empty(data: bytes, journal: Path) -> None:
    journal.write_bytes(data)
    optuna.create_study(study_name="one", storage=open_journal(str(journal)))
    assert values(plain(journal)) == []


@pytest.mark.parametrize("data", [b'{"a": 1}', b'{"a": 1}\n', b'{\n"a": 1\n}\n', b"[1]\n", b"text\0", b"\n"])
def test_a_file_that_is_not_a_journal_is_rejected_and_not_changed(data: bytes, journal: Path) -> None:
    journal.write_bytes(data)
    with pytest.raises(ValueError, match="not a journal"):
        open_journal(str(journal))
    assert journal.read_bytes() == data


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize("damage", [TORN, b"\xff\xfe", b'{"a": 1}', b"[]", b"7", b""])
def test_the_error_for_a_damaged_line_names_it_and_the_file_is_not_changed(
    number: int, damage: bytes, journal: Path
) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    lines[number - 1] = damage + b"\n"
    journal.write_bytes(b"".join(lines))
    with pytest.raises(ConfigError, match=rf"^line {number} of the journal '{journal}' is damaged") as caught:
        open_journal(str(journal))
    assert ("the study is lost" in str(caught.value)) is (number == 1)
    shortened = f"cp {journal} {journal}.damaged && head -n {number - 1} {journal} > {journal}.shortened"
    assert (shortened in str(caught.value)) is (number > 1)
    assert journal.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("n_written", [0, 1, 30])
def test_a_failed_write_leaves_no_partial_line(n_written: int, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, whole = open_journal(str(journal)), journal.read_bytes()

    def full_disk(fd: int) -> None:
        os.ftruncate(fd, len(whole) + n_written)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError, match="No space left"):
            add_trial(storage, 3.0)
    assert journal.read_bytes() == whole
    add_trial(storage, 4.0)
    assert values(storage) == values(plain(journal)) == [0.0, 1.0, 2.0, 4.0]


def test_a_whole_line_stays_if_fsync_fails(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_journal(str(journal))

    def broken_disk(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken_disk)
        with pytest.raises(OSError, match="Input/output"):
            add_trial(storage, 3.0)
    assert values(plain(journal)) == values(storage) == [0.0, 1.0, 2.0, 3.0]  # another process may have read it


def test_a_journal_at_the_file_size_limit_ends_with_a_whole_line(journal: Path) -> None:
    process = started(write_to_the_limit, journal)
    process.join(60)
    assert process.exitcode == 0
    assert values(plain(journal))[:3] == [0.0, 1.0, 2.0]
    assert journal.read_bytes().endswith(b"\n")
    add_trial(plain(journal), 5.0)
    assert values(plain(journal))[-1] == 5.0


def write_to_the_limit(path: Path) -> None:
    storage = open_journal(str(path))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = path.stat().st_size + 1000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with pytest.raises(OSError, match="File too large"):
        deque(add_trial(storage, 3.0) for _ in range(100))


def test_killed_writers_lose_no_finished_write(journal: Path) -> None:
    rng = random.Random(0)
    processes = [started(write_forever, journal, n) for n in range(3)]
    for n in range(3, 9):
        time.sleep(rng.uniform(0.3, 0.6))
        processes[-2].kill()
        processes.append(started(write_forever, journal, n))
    time.sleep(2 * GRACE)
    for process in processes:
        process.kill()
        process.join()
    written = [float(line) for log in journal.parent.glob("*.written") for line in log.read_text().splitlines()]
    assert len(written) > 10
    storage = in_time(lambda: open_journal(str(journal), grace_period=GRACE))
    in_time(lambda: add_trial(storage, 5.0))
    assert set(written) <= set(values(plain(journal)))


def write_forever(path: Path, n: int) -> None:
    storage = open_journal(str(path), grace_period=GRACE)
    with path.with_name(f"{n}.written").open("w") as written:
        for i in range(100_000):
            add_trial(storage, n + i / 100_000)
            os.write(written.fileno(), f"{n + i / 100_000}\n".encode())


@pytest.mark.parametrize("torn", [b"", TORN])
def test_the_lock_of_a_killed_process_is_taken_over_after_the_grace_period(torn: bytes, journal: Path) -> None:
    hold_and_die(journal, torn)
    storage = in_time(lambda: open_journal(str(journal), grace_period=GRACE))
    in_time(lambda: add_trial(storage, 3.0))
    assert values(plain(journal)) == [0.0, 1.0, 2.0, 3.0]
    assert [path.name for path in journal.parent.iterdir()] == ["study.journal"]


def test_the_lock_of_a_killed_search_of_an_earlier_version_is_taken_over(journal: Path) -> None:
    mark = journal.with_name("study.journal.lock.host")
    mark.touch()
    journal.with_name("study.journal.lock").symlink_to(mark)
    storage = open_journal(str(journal), grace_period=GRACE)
    in_time(lambda: add_trial(storage, 3.0))
    assert values(plain(journal)) == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("opened", [lambda path: open_journal(str(path), grace_period=AN_HOUR), plain])
def test_our_backend_and_optunas_wait_for_the_lock_of_a_live_process(
    opened: Callable[[Path], JournalStorage], journal: Path
) -> None:
    storage = opened(journal)
    lock = RepairingLock(str(journal), AN_HOUR)
    lock.acquire()
    thread = threading.Thread(target=add_trial, args=(storage, 3.0), daemon=True)
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    lock.release()
    thread.join(30)
    assert not thread.is_alive()
    assert values(plain(journal)) == [0.0, 1.0, 2.0, 3.0]


def hold_and_die(path: Path, torn: bytes) -> None:
    process = started(hold, path, torn)
    wait_for(path.with_name("held"))
    process.kill()
    process.join()
    path.with_name("held").unlink()


def hold(path: Path, torn: bytes) -> None:
    RepairingLock(str(path), AN_HOUR).acquire()
    with path.open("ab") as file:
        file.write(torn)
    path.with_name("held").touch()
    time.sleep(AN_HOUR)


def started(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    process = SPAWN.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def in_time(call: Callable[[], Any]) -> Any:
    """Return the result of the call, which must not take much longer than the grace period."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(25)
    assert results, "still waiting"
    return results[0]
