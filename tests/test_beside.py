"""A process beside does what it is given, in turn; what it fails to do is done here."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightsweep.beside import Beside

WHO = "test_beside:write_who"


def write_who(path: Path, *, text: str = "") -> None:
    """Write which process it was."""
    path.write_text(f"{os.getpid()} {text}", encoding="utf-8")


def fail(_: Path) -> None:
    raise KeyError(f"{os.getpid()}")


def end() -> None:
    os._exit(0)


@pytest.fixture
def beside() -> Iterator[Beside]:
    beside = Beside()
    yield beside
    beside.end()


@pytest.fixture(autouse=True)
def module_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def who(path: Path) -> int:
    return int(path.read_text(encoding="utf-8").split()[0])


def test_calls_are_made_in_turn_by_one_other_process(beside: Beside, tmp_path: Path) -> None:
    assert beside.begin()
    assert not beside.begin()
    waits = [beside.do(WHO, tmp_path / f"{i}", text="x" * 100_000) for i in range(3)]
    beside.do("os:write", 1, b"\\nis no answer\\n")
    waits[2]()
    beside.do("time:sleep", 0.2)
    beside.do(WHO, tmp_path / "last")()
    assert (tmp_path / "last").is_file()
    assert who(tmp_path / "0") == who(tmp_path / "1") == who(tmp_path / "2") != os.getpid()
    assert (tmp_path / "2").stat().st_size > 100_000


def test_before_it_was_begun_and_after_it_has_ended_it_is_done_here(beside: Beside, tmp_path: Path) -> None:
    beside.do(WHO, tmp_path / "before")()
    assert who(tmp_path / "before") == os.getpid()
    beside.begin()
    beside.do(WHO, tmp_path / "beside")()
    beside.end()
    assert who(tmp_path / "beside") != os.getpid()
    beside.do(WHO, tmp_path / "after")()
    assert who(tmp_path / "after") == os.getpid()


@pytest.mark.parametrize("name", ["fail", "end"])
def test_what_the_process_fails_to_do_is_done_here_with_its_error(name: str, beside: Beside, tmp_path: Path) -> None:
    beside.begin()
    if name == "end":
        beside.do("test_beside:end")
    else:
        with pytest.raises(KeyError, match=f"{os.getpid()}"):
            beside.do("test_beside:fail", tmp_path)()
    beside.do(WHO, tmp_path / "next")()
    assert who(tmp_path / "next") == os.getpid()


def test_what_cannot_be_given_is_done_here(beside: Beside) -> None:
    seen: list[int] = []
    beside.begin()
    beside.do("operator:call", lambda: seen.append(os.getpid()))()
    assert seen == [os.getpid()]


def test_a_process_that_cannot_be_started_is_no_error(
    beside: Beside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("too many processes")

    monkeypatch.setattr("lightsweep.beside.subprocess.Popen", refuse)
    assert not beside.begin()
    beside.do(WHO, tmp_path / "here")()
    assert who(tmp_path / "here") == os.getpid()


def test_one_that_hangs_is_ended_and_another_can_be_begun(
    beside: Beside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightsweep.beside.SECONDS_TO_WAIT", 0.5)
    beside.begin()
    beside.do("time:sleep", 60)
    beside.do(WHO, tmp_path / "here")()
    assert who(tmp_path / "here") == os.getpid()
    monkeypatch.undo()
    sys.path.insert(0, str(Path(__file__).parent))
    assert beside.begin()
    beside.do(WHO, tmp_path / "beside")()
    assert who(tmp_path / "beside") != os.getpid()
    start = time.monotonic()
    beside.do("time:sleep", 60)
    beside.end()
    assert time.monotonic() - start < 30


def test_the_signal_of_a_terminal_does_not_end_it(beside: Beside, tmp_path: Path) -> None:
    beside.begin()
    beside.do(WHO, tmp_path / "first")()
    os.kill(who(tmp_path / "first"), signal.SIGINT)
    beside.do(WHO, tmp_path / "second")()
    assert who(tmp_path / "second") == who(tmp_path / "first")


LEAVE = """\
import os, sys
from lightsweep.beside import Beside
beside = Beside()
beside.begin()
beside.do("test_beside:write_who", __import__("pathlib").Path(sys.argv[1]))()
os._exit(1)
"""


def test_it_ends_with_the_process_that_began_it(tmp_path: Path) -> None:
    path = os.pathsep.join(sys.path)
    subprocess.run(
        [sys.executable, "-c", LEAVE, str(tmp_path / "who")], check=False, env={**os.environ, "PYTHONPATH": path}
    )
    pid, deadline = who(tmp_path / "who"), time.monotonic() + 10
    while _is_there(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _is_there(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2]
    except OSError:
        return False


def test_it_ends_when_it_is_idle(beside: Beside, tmp_path: Path) -> None:
    beside.begin()
    beside.do("test_beside:be_impatient")()
    beside.do(WHO, tmp_path / "beside")()
    deadline = time.monotonic() + 10
    while _is_there(who(tmp_path / "beside")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    beside.do(WHO, tmp_path / "here")()
    assert who(tmp_path / "here") == os.getpid()
    assert beside.begin()


def be_impatient() -> None:
    import lightsweep.beside

    lightsweep.beside.SECONDS_IDLE = 1.0
