"""Files that several processes use."""

import threading
from pathlib import Path

import pytest

from lightsweep.files import locked


def test_whoever_comes_later_says_so_and_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    def later() -> None:
        with locked(tmp_path / "lock", waiting="waiting for the first"):
            seen.append("second")

    thread = threading.Thread(target=later)
    with locked(tmp_path / "lock", waiting="nobody is there yet"):
        thread.start()
        thread.join(timeout=0.2)
        seen.append("first")
    thread.join(timeout=30)
    assert seen == ["first", "second"]
    assert capsys.readouterr().err == "waiting for the first\n"
