"""Searches on a PostgreSQL server, which the test starts. Skipped where there is none."""

from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from tests.command import SMALL, rows_of, start, the_folder
from tests.postgres import empty_database, needs_postgres

pytestmark = [pytest.mark.slow, needs_postgres]


@pytest.fixture
def url() -> Iterator[str]:
    with empty_database() as url:
        yield url


def test_two_drivers_that_start_together_on_an_empty_database_share_the_study(url: str, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    search = ("-m", "hparams_search=mlp", *SMALL, "hydra.sweeper.n_trials=6", f"hydra.sweeper.storage='{url}'")
    drivers = [start(*search, cwd=folder) for folder in folders]
    errors = [driver.communicate(timeout=240)[1] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], errors

    storage = RDBStorage(url)
    trials = optuna.load_study(study_name="mlp", storage=storage).trials
    storage.engine.dispose()
    finished = [trial.number for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    assert len(finished) == 6
    for folder in folders:
        assert [int(row["number"]) for row in rows_of(the_folder(folder) / "trials.csv")] == finished
