"""What a process looks for, when, and how it ends."""

import gc
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest

from lightsweep import garbage

SELDOM = """\
import gc
from lightsweep.garbage import begin_training, collect_seldom
collect_seldom()
print(gc.get_freeze_count() > 0, gc.get_threshold()[0], gc.isenabled())
import email.message
before = gc.get_freeze_count()
begin_training()
print(gc.get_freeze_count() > before, gc.get_threshold()[0], gc.isenabled())
"""

LEAVES = """\
import sys
from lightsweep.garbage import begin_training, collect_seldom, free_memory
collect_seldom()
import torch
begin_training()
sys.path.insert(0, sys.argv[1])
import own
free_memory()
print("said", end="")
{end}
"""
OWN = """\
import atexit, os
from pathlib import Path
def function(): ...  # refers to the module's names, and they to it
class Late:
    def __del__(self, write=os.write): write(2, b"finalized")
late = Late()
file = Path(__file__).with_name("unclosed").open("w")
file.write("all of it")
atexit.register(lambda: Path(__file__).with_name("called").touch())
"""


def run(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_it_is_looked_for_seldom() -> None:
    assert run(SELDOM).stdout.splitlines() == ["True 500000 True", "True 50000 True"]


@pytest.mark.parametrize(("end", "code"), [("", 0), ("sys.exit(3)", 3), ("raise KeyError('bug')", 1)])
def test_a_process_ends_as_python_ends_it(end: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    done = run(LEAVES.format(end=end), str(tmp_path))
    assert (done.returncode, done.stdout, "KeyError: 'bug'" in done.stderr) == (code, "said", "bug" in end)
    assert (tmp_path / "unclosed").read_text() == "all of it"
    assert "finalized" in done.stderr
    assert (tmp_path / "called").exists()


class Node:
    """A part of a cycle."""

    def __init__(self) -> None:
        self.own = self


@pytest.mark.parametrize("generation", [None, 0, 1, 2])
def test_what_a_training_left_is_freed_however_old_it_is(
    generation: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "_spare_the_libraries", lambda: None)
    monkeypatch.setattr(garbage, "_next_full_search_s", 0.0)
    for _ in range(5):
        held = Node()
        left = weakref.ref(held)
        if generation is not None:
            gc.collect(generation)
        del held
        garbage.free_memory()
        assert left() is None


def test_what_was_let_go_later_is_freed_when_a_full_search_took_little_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(garbage, "_spare_the_libraries", lambda: None)
    monkeypatch.setattr(garbage, "_next_full_search_s", 0.0)
    held = Node()
    left = weakref.ref(held)
    begun = time.monotonic()
    garbage.free_memory()
    took = time.monotonic() - begun
    del held
    garbage.free_memory()
    assert left() is not None  # it is old by now, and a search for the old has just been made
    assert garbage._next_full_search_s - time.monotonic() <= took / garbage.SHARE_OF_FULL_SEARCHES
    monkeypatch.setattr(garbage, "_next_full_search_s", time.monotonic())
    garbage.free_memory()
    assert left() is None
