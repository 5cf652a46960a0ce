"""Compatibility with an earlier version: its models predict the same, and its search can be resumed."""

import csv
import json
import shutil
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from optuna.trial import TrialState
from sklearn.datasets import load_digits

import lightsweep
from lightsweep.predict import predict_file
from tests.command import study_in, succeed, train

ARTEFACTS = Path(__file__).parent / "artefacts"
N_FINISHED, INTERRUPTED, N_TRIALS = 5, 5, 8


def rows_of(name: str) -> Any:
    if name == "digits":
        return load_digits().data[:20]
    return pd.read_csv(ARTEFACTS / "table" / "rows.csv").drop(columns="outcome")[:40]


@pytest.mark.parametrize("name", ["digits", "table"])
def test_an_earlier_model_predicts_the_same(name: str) -> None:
    expected = json.loads((ARTEFACTS / name / "predictions.json").read_text())
    model = lightsweep.load(ARTEFACTS / name)
    assert list(model.predict(rows_of(name))) == expected["classes"]
    np.testing.assert_allclose(model.predict_proba(rows_of(name)), expected["probabilities"], atol=1e-5)


def test_an_earlier_model_takes_names_and_levels_as_its_file_had_them(tmp_path: Path) -> None:
    folder = ARTEFACTS / "table_search"
    expected = json.loads((folder / "best" / "predictions.json").read_text())
    rows, model = pd.read_csv(folder / "rows.csv"), lightsweep.load(folder / "best")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of levels that were not seen
        np.testing.assert_allclose(model.predict_proba(rows[:40]), expected["probabilities"], atol=1e-5)
        composed = rows.rename(columns=lambda name: unicodedata.normalize("NFC", name))
        np.testing.assert_allclose(model.predict_proba(composed[:40]), expected["probabilities"], atol=1e-5)
        assert predict_file(folder / "best", folder / "rows.csv", tmp_path / "predictions.csv") == len(rows)
    assert list(pd.read_csv(tmp_path / "predictions.csv").iloc[:40, 0]) == expected["classes"]


@pytest.mark.slow
def test_an_earlier_search_is_resumed_where_it_was_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "mlp" / "search"
    shutil.copytree(ARTEFACTS / "search", folder)
    before = study_in(folder).trials
    epochs_before = epochs_in(folder)
    assert 0 < len(epochs_before) < 40

    ran = train(f"resume={folder}", "confirm=off", cwd=tmp_path)

    assert ran.code == 0, ran.err
    after = study_in(folder).trials
    assert [trial.state.is_finished() for trial in after] == [True] * N_TRIALS
    assert [(t.state, t.params, t.value) for t in after[:N_FINISHED]] == [
        (t.state, t.params, t.value) for t in before[:N_FINISHED]
    ]
    assert after[INTERRUPTED].params == before[INTERRUPTED].params
    assert after[INTERRUPTED].intermediate_values.items() >= before[INTERRUPTED].intermediate_values.items()
    assert "resumes from" in (folder / str(INTERRUPTED) / "train.log").read_text()
    if after[INTERRUPTED].state == TrialState.COMPLETE:
        assert epochs_in(folder) == list(range(40))
    assert len(lightsweep.load(folder / "best").predict(load_digits().data[:20])) == 20


@pytest.mark.slow
def test_an_earlier_search_on_a_table_is_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    shutil.copytree(ARTEFACTS / "table_search", folder)
    shutil.copy(ARTEFACTS / "table_search" / "rows.csv", tmp_path)
    before = study_in(folder).trials

    ran = train(f"resume={folder}", "hydra.sweeper.n_trials=3", "confirm=off", cwd=tmp_path)

    assert ran.code == 0, ran.err
    after = study_in(folder).trials
    assert [(t.params, t.value) for t in after[:2]] == [(t.params, t.value) for t in before]
    assert len(after) == 3
    assert "leading zeros" in ran.err
    assert (
        "leading zeros" not in succeed(f"resume={folder}", "hydra.sweeper.n_trials=3", "confirm=off", cwd=tmp_path).err
    )


def epochs_in(folder: Path) -> list[int]:
    """Return the distinct epochs in the CSV log of the interrupted trial, in order."""
    with (folder / str(INTERRUPTED) / "csv" / "metrics.csv").open(newline="") as file:
        return list(dict.fromkeys(int(row["epoch"]) for row in csv.DictReader(file)))
