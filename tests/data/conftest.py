"""Fixtures of the tests of data."""

from pathlib import Path

import pytest


@pytest.fixture
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `tmp_path` the working directory."""
    monkeypatch.chdir(tmp_path)
