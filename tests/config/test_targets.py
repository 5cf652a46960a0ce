"""LIGHTSWEEP_TRUST: which entries it may have, and what is said of others."""

from pathlib import Path

import pytest

import lightsweep
from lightsweep.config import targets as trust
from lightsweep.config.targets import check_user_targets
from lightsweep.errors import ConfigError
from tests.command import train


@pytest.mark.parametrize("entry", ["own_model.*", "own_model.TwoTowers", "own.deep.*", "__main__.Net"])
def test_a_class_or_all_of_a_module_can_be_trusted(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "USER_TARGETS", ("first.*", entry))
    check_user_targets()


@pytest.mark.parametrize("entry", ["own_*", "*", ".*", "own.*.Net", "own..Net", "own_model", "own.", "own model.*"])
def test_any_other_entry_is_named_with_what_an_entry_looks_like(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "USER_TARGETS", ("first.*", entry))
    for refusing in (check_user_targets, lambda: lightsweep.load("nowhere")):
        with pytest.raises(ConfigError) as caught:
            refusing()
        assert str(caught.value).startswith(f"LIGHTSWEEP_TRUST is 'first.*,{entry}', of which '{entry}' is no entry.")
        assert "own_model.TwoTowers" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["-m"], ["--help"]])
def test_a_wrong_entry_is_one_message_of_the_command(arguments: list[str], tmp_path: Path) -> None:
    ran = train(*arguments, cwd=tmp_path, LIGHTSWEEP_TRUST="first.*, own_*")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: LIGHTSWEEP_TRUST is 'first.*,own_*', of which 'own_*' is no entry.")
    assert ran.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
