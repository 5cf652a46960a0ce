"""Locks between processes, and YAML."""

import threading
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from lightsweep.files import locked, yaml_of


def test_the_second_process_prints_a_message_and_waits_for_the_lock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def second() -> None:
        with locked(tmp_path / "lock", waiting="waiting for the first"):
            seen.append("second")

    thread = threading.Thread(target=second)
    with locked(tmp_path / "lock", waiting="not printed"):
        thread.start()
        thread.join(timeout=0.2)
        seen.append("first")
    thread.join(timeout=30)
    assert seen == ["first", "second"]
    assert capsys.readouterr().err == "waiting for the first\n"


@pytest.mark.parametrize(
    "content",
    [
        {"a": None, "b": True, "c": 1e-05, "d": 1.0, "e": [1, {"f": []}], "g": {}, "h": float("nan")},
        {"true": "true", "1": "1", "1e3": "1e3", "on": "on", "null": "null", "empty": "", "date": "2026-11-25"},
        {"y": "n", "Y": "N", "no": "Yes", "-1e-3": "1E+3", "1.5e3": "-.5e1", "1_0": "0x1f", ".inf": "nan", "1:20": "~"},
        {"text": "two\nlines: 'é' # no comment", "long": "word " * 40, "dollar": "${seed}", "missing": "???"},
    ],
)
def test_plain_python_is_written_as_omegaconf_writes_it(content: dict[str, Any]) -> None:
    assert yaml_of(content) == OmegaConf.to_yaml(OmegaConf.create(content))


def test_text_that_is_not_a_valid_interpolation_can_be_written() -> None:
    assert yaml_of({"failed": "ValueError: ${"}) == "failed: 'ValueError: ${'\n"
