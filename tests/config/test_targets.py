"""LIGHTSWEEP_TRUST: its valid entries, and the error for others."""

from pathlib import Path

import pytest

import lightsweep
from lightsweep.config import targets
from lightsweep.config.targets import check_user_targets
from lightsweep.errors import ConfigError
from tests.command import train


@pytest.mark.parametrize("entry", ["own_model.*", "own_model.TwoTowers", "own.deep.*", "__main__.Net"])
def test_a_class_or_a_whole_module_can_be_allowed(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "USER_TARGETS", ("first.*", entry))
    check_user_targets()


@pytest.mark.parametrize("entry", ["own_*", "*", ".*", "own.*.Net", "own..Net", "own_model", "own.", "own model.*"])
def test_the_error_for_a_malformed_entry_names_it_with_a_valid_example(
    entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "USER_TARGETS", ("first.*", entry))
    for reject in (check_user_targets, lambda: lightsweep.load("nowhere")):
        with pytest.raises(ConfigError) as caught:
            reject()
        assert str(caught.value).startswith(
            f"LIGHTSWEEP_TRUST is 'first.*,{entry}', which has the malformed entry '{entry}'."
        )
        assert "own_model.TwoTowers" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["-m"], ["--help"]])
def test_the_command_reports_a_malformed_entry_in_one_line(arguments: list[str], tmp_path: Path) -> None:
    ran = train(*arguments, cwd=tmp_path, LIGHTSWEEP_TRUST="first.*, own_*")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: LIGHTSWEEP_TRUST is 'first.*,own_*', which has the malformed entry 'own_*'.")
    assert ran.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
