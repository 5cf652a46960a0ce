"""What the preflight says of the folder and of the file of the storage."""

from pathlib import Path

import pytest

from lightsweep.preflight.storage_checks import location_problems


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
