"""What the preflight says of the folder and of the file of the storage."""

import sys
from pathlib import Path

import pytest

from lightsweep.errors import ConfigError
from lightsweep.preflight.storage_checks import existing_study, location_problems


@pytest.mark.parametrize(
    ("files", "is_problem"),
    [([], False), (["trials.csv", "study.journal"], False), (["trials.csv"], True), (["command.json"], False)],
)
def test_a_folder_with_trials_and_without_their_journal_is_refused(
    files: list[str], is_problem: bool, tmp_path: Path
) -> None:
    for name in files:
        (tmp_path / name).touch()
    problems = location_problems(tmp_path, str(tmp_path / "study.journal"))
    assert ["but no study.journal" in problem for problem in problems] == [True] * is_problem
    assert location_problems(tmp_path, "sqlite:///elsewhere.db") == []


@pytest.mark.parametrize(
    ("module", "url", "extra"),
    [
        ("psycopg", "postgresql+psycopg://u:secret@h/d", "postgres"),
        ("pymysql", "mysql+pymysql://u:secret@h/d", "mysql"),
    ],
)
def test_the_missing_driver_of_a_database_is_one_message_with_the_command(
    module: str, url: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as caught:
        existing_study(url, name="mlp")
    assert str(caught.value).endswith(f"pip install -c constraints.txt -e '.[{extra}]'")
    assert "secret" not in str(caught.value)
