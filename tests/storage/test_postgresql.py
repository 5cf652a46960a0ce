"""Searches on a PostgreSQL server, which the test starts. Skipped where there is none."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from tests.command import SMALL, rows_of, start, the_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("initdb") and shutil.which("pg_ctl") and importlib.util.find_spec("psycopg")),
        reason="needs initdb and pg_ctl of PostgreSQL on the PATH, and psycopg",
    ),
]


@pytest.fixture
def url() -> Iterator[str]:
    """The URL of an empty database. Its server listens on a socket only, whose path must be short."""
    user = "postgres" if os.getuid() == 0 else None  # the server refuses to run as root
    with tempfile.TemporaryDirectory() as folder:
        if user:
            shutil.chown(folder, user)
        data = f"{folder}/data"
        control = ["pg_ctl", "-D", data, "-w", "-l", f"{folder}/log"]
        options = ["-o", f"-k {folder} -h '' -c fsync=off"]
        for command in (["initdb", "-D", data, "-U", "me", "-A", "trust"], [*control, *options, "start"]):
            subprocess.run(command, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        yield f"postgresql+psycopg://me@/postgres?host={folder}"
        subprocess.run([*control, "-m", "immediate", "stop"], user=user, cwd=folder, check=True, capture_output=True)


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
