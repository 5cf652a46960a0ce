"""What a process looks for, when, and how it ends."""

import subprocess
import sys
from pathlib import Path

import pytest

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
from lightsweep.build import build
from lightsweep.garbage import begin_training, collect_seldom, free_memory
from omegaconf import OmegaConf
import hydra.utils
collect_seldom()
import torch
begin_training()
sys.path.insert(0, sys.argv[1])
with hydra.utils.execution_whitelist(("own.*",)):
    build(OmegaConf.create({{"_target_": "own.function"}}))
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
