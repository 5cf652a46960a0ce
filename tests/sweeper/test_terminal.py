"""The real command on a pseudo-terminal: the running trials are seen, and Ctrl-C leaves the terminal in order."""

import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

import pytest

from tests.command import ROOT, SMALL

pytestmark = pytest.mark.slow

# Makes the terminal the controlling one, so that Ctrl-C is a signal, and becomes the command.
LEADER = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.parametrize("columns", [80, 40])
def test_ctrl_c_on_a_terminal_is_a_line_of_its_own_and_brings_the_cursor_back(columns: int, tmp_path: Path) -> None:
    output = Screen(columns)
    arguments = ["-m", "hparams_search=mlp", *SMALL, "trainer.max_epochs=100000", "optimizer=adam"]
    process = output.start(*arguments, cwd=tmp_path)
    output.read_until(r"0/50 trials.*first epoch")
    output.read_until(r"epochs ·\s+val/acc 0\.")
    output.type("\x03")
    output.read_until("SIGINT")
    output.type("\x03")
    output.read_until(r"Next steps.*resume ")
    assert process.wait(60) == 130
    assert re.search(r"\^C(\r|\x1b\[\d?[AK])+\x1b\[2KSIGINT: the running trials end", output.text), output.text
    assert output.text.rindex("\x1b[?25h") > output.text.rindex("\x1b[?25l")


@pytest.mark.parametrize("launcher", [(), ("hydra/launcher=processes", "hydra.sweeper.n_jobs=2")])
def test_verbose_leaves_the_terminal_to_lightning_and_shows_the_search_by_lines(
    launcher: tuple[str, ...], tmp_path: Path
) -> None:
    output = Screen(80)
    arguments = ["-m", "hparams_search=mlp", *SMALL, "verbose=true", "hydra.sweeper.n_trials=2"]
    process = output.start(*arguments, *launcher, cwd=tmp_path)
    output.read_until(r"\[2/2\] trial.* left.*Next steps")
    assert process.wait(60) == 0
    assert "Epoch" in output.text
    assert len(re.findall(r"\[\d/2\] trial .* 0 failed · .* left", output.text)) == 2
    assert "elapsed" not in output.text


class Screen:
    """A pseudo-terminal, and all that was written to it."""

    def __init__(self, columns: int) -> None:
        self.mine, self.theirs = pty.openpty()
        ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.text = ""

    def start(self, *arguments: str, cwd: Path) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "TERM": "xterm"}
        for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            environment.pop(name, None)
        process = subprocess.Popen(
            [sys.executable, "-c", LEADER, str(ROOT / "train.py"), *arguments],
            cwd=cwd,
            env=environment,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
        )
        os.close(self.theirs)
        return process

    def read_until(self, pattern: str) -> None:
        deadline = time.monotonic() + 120
        while not re.search(pattern, self.text, flags=re.DOTALL):
            assert time.monotonic() < deadline, self.text
            try:
                self.text += os.read(self.mine, 65536).decode(errors="replace")
            except OSError:  # the process has ended
                assert re.search(pattern, self.text, flags=re.DOTALL), self.text

    def type(self, keys: str) -> None:
        os.write(self.mine, keys.encode())
