"""The result files of a search."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from lightsweep.report.results import (
    RESULTS,
    TABLE,
    Results,
    read_record,
    read_refit_record,
    read_results,
    refit_record,
)
from lightsweep.report.statistics import StudyStatistics
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.params import VAL_SEED
from tests.command import rows_of


def results_of(study: optuna.Study, folder: Path) -> Results:
    statistics = StudyStatistics(directions=study.directions)
    return Results(folder, about={}, param_names=["x"], overrides_of=list, statistics=statistics)


def test_trials_of_another_driver_are_added_once(tmp_path: Path) -> None:
    study = optuna.create_study()
    results = results_of(study, tmp_path)
    running = study.ask()
    study.tell(study.ask(), 0.5)
    assert [t.number for t in results.sync(study)] == [1]
    study.tell(study.ask(), 0.1)
    study.tell(running, 0.3)
    assert [t.number for t in results.sync(study)] == [0, 2]
    assert results.sync(study) == []
    results.write()
    assert [row["number"] for row in rows_of(tmp_path / TABLE)] == ["0", "1", "2"]
    assert results.statistics.n_finished == 3
    assert results.statistics.best is not None
    assert results.statistics.best.number == 2


def test_several_objectives_are_columns_and_the_front_is_in_the_results(tmp_path: Path) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for values in ([0.9, 100.0], [0.88, 20.0], [0.1, 10.0], [0.2, 30.0]):
        study.add_trial(create_trial(values=values))
    study.add_trial(create_trial(state=TrialState.FAIL))
    results = results_of(study, tmp_path)
    results.about, results.further, results.ship = {"monitor": "acc"}, ["n"], "knee"
    results.sync(study)
    results.write()
    rows = rows_of(tmp_path / TABLE)
    assert [(row["value"], row["n"]) for row in rows] == [
        *[("0.9", "100.0"), ("0.88", "20.0"), ("0.1", "10.0"), ("0.2", "30.0"), ("", "")]
    ]
    record = read_results(tmp_path)
    assert [trial["trial"] for trial in record["front"]] == [0, 1, 2]
    assert (record["best_trial"], record["best_values"]) == (1, {"acc": 0.88, "n": 20.0})


def test_the_command_repeats_a_trial_on_its_own_validation_rows(tmp_path: Path) -> None:
    study = optuna.create_study()
    for user_attrs in ({VAL_SEED: 8}, {}):
        study.add_trial(optuna.create_trial(value=0.5, user_attrs=user_attrs))
    results = results_of(study, tmp_path)
    of_its_own, as_all = map(results.command, study.trials)
    assert of_its_own.endswith(" data.val_seed=8 hydra.mode=RUN")
    assert "val_seed" not in as_all


def test_the_results_hold_what_pruning_saved(tmp_path: Path) -> None:
    study = optuna.create_study()
    results = results_of(study, tmp_path)
    attrs = {"n_epochs": 2, "max_epochs": 5, "seconds_per_epoch": 0.25}
    for n_trials, saved in enumerate([(3, 0.8), (6, 1.5)]):
        assert ("epochs_saved" in read_record(tmp_path)) == (n_trials > 0)
        study.add_trial(optuna.create_trial(state=optuna.trial.TrialState.PRUNED, user_attrs=attrs))
        results.sync(study)
        results.write()
        record = read_record(tmp_path)
        assert (record["epochs_saved"], record["seconds_saved"]) == saved


def test_the_record_of_a_refit_is_read_back(tmp_path: Path) -> None:
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    results = results_of(study, tmp_path)
    [trial] = results.sync(study)
    metrics = {"test/acc": 0.5}
    refit = Outcome(monitor="x", n_epochs=1, max_epochs=1, test_metrics=metrics, trained_on="training data")
    results.write(**refit_record(trial, refit))
    assert read_refit_record(tmp_path) == {"shipped_trial": 0, "shipped": metrics, "trained_on": "training data"}
    assert read_results(tmp_path)["best_params"] == trial.params


@pytest.mark.parametrize(
    "text", [None, "", "- a list", "shipped: null", "shipped_trial: 3\nshipped: null", "a: [", "\0"]
)
def test_without_a_refit_or_with_a_damaged_file_there_is_no_record(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / RESULTS).write_text(text)
    assert read_refit_record(tmp_path) == read_results(tmp_path) == {}
