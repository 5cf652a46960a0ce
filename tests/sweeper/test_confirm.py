"""After the search its best trials and the defaults are trained again with other seeds, and the winner is exported."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from omegaconf import OmegaConf
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from lightsweep.search.enqueue import ENQUEUED
from lightsweep.sweeper.confirm import ConfirmSettings, candidates_of, key_of_run
from tests.command import SMALL, TINY, TRUST, start, study_in, succeed, the_folder

SEARCH = ("hparams_search=mlp", *SMALL, "hydra.sweeper.n_trials=4", "hydra/sweeper/pruner=none")


def study_of(*trials: tuple[float | None, dict[str, Any]]) -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    space = {"x": IntDistribution(0, 100)}
    for i, (value, attrs) in enumerate(trials):
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        params = {"x": attrs.get("x", 50 + i)}
        study.add_trial(create_trial(state=state, value=value, user_attrs=attrs, params=params, distributions=space))
    return study


@pytest.mark.parametrize(
    ("trials", "numbers"),
    [
        ([(0.5, {ENQUEUED: "defaults"}), (0.7, {}), (0.9, {}), (0.8, {})], [2, 3, 0]),
        ([(0.9, {ENQUEUED: "defaults"}), (0.7, {}), (0.8, {})], [0, 2]),
        ([(None, {ENQUEUED: "defaults"}), (0.7, {})], [1, 0]),
        ([(0.5, {ENQUEUED: "points.yaml, point 0"}), (0.7, {}), (0.7, {})], [1, 2]),
        ([(None, {ENQUEUED: "defaults"}), (None, {})], []),
        ([(0.5, {}), (0.9, {"x": 1}), (0.8, {"x": 1}), (0.7, {"x": 2})], [1, 3]),  # each configuration once
    ],
)
def test_the_candidates_are_the_best_trials_and_the_defaults(
    trials: list[tuple[float | None, dict[str, Any]]], numbers: list[int]
) -> None:
    assert [trial.number for trial in candidates_of(study_of(*trials), top_k=2)] == numbers


@pytest.mark.parametrize(
    ("data", "overrides"),
    [
        (
            {"_target_": "lightsweep.data.digits.Digits", "seed": "${seed}"},
            ["seed=8", "data.seed=7", "data.val_seed=1000008"],
        ),
        # A seed of the data may draw the test rows, whatever its name.
        ({"_target_": "own.Data", "split_seed": "${seed}", "n": 3}, ["seed=8", "data.split_seed=7"]),
        ({"_target_": "own.Data", "seed": 7}, ["seed=8"]),
        ({"_target_": "own.Data"}, ["seed=8"]),
        ({"_target_": "lightsweep.data.table.module.TableDataModule", "split": "time"}, ["seed=8"]),
        ({"_target_": "lightsweep.data.table.module.TableDataModule", "val_path": "a.csv"}, ["seed=8"]),
    ],
)
def test_a_run_has_another_seed_and_validation_split_and_the_same_test_rows(
    data: dict[str, Any], overrides: list[str]
) -> None:
    config = OmegaConf.create({"seed": 7, "data": data, "confirm": {"top_k": 3, "n_seeds": 2}})
    settings = ConfirmSettings.of(config)
    assert settings is not None
    assert settings.overrides(settings.seeds[0]) == overrides
    assert list(settings.seeds) == [8, 9]


def test_a_config_without_the_group_confirms_nothing() -> None:
    assert ConfirmSettings.of(OmegaConf.create({"seed": 7, "data": {}})) is None


def test_the_order_of_the_overrides_and_those_of_the_confirmation_make_no_other_run() -> None:
    one = ["data=digits", "confirm.n_seeds=3", "model.n_layers=2", "seed=43"]
    assert key_of_run(one) == key_of_run(["model.n_layers=2", "seed=43", "data=digits", "hydra.sweeper.n_trials=9"])
    assert key_of_run(one) != key_of_run([*one[:-1], "seed=44"])


def runs_in(cwd: Path) -> list[optuna.trial.FrozenTrial]:
    study = study_in(the_folder(cwd))
    return optuna.load_study(study_name="mlp-confirm", storage=study._storage).trials


@pytest.mark.slow
def test_a_search_confirms_its_best_trials_without_the_test_rows_and_exports_the_winner(tmp_path: Path) -> None:
    options = ("confirm.top_k=2", "confirm.n_seeds=2", "workers=2", "data._target_=faulty.SecretTestData")
    ran = succeed(*SEARCH, *options, cwd=tmp_path, **TRUST)
    folder = the_folder(tmp_path)
    results = yaml.safe_load((folder / "optimization_results.yaml").read_text())
    runs = runs_in(tmp_path)
    assert {trial.state for trial in runs} == {TrialState.COMPLETE}
    candidates = results["confirmed"]["candidates"]
    assert 2 <= len(candidates) <= 3
    assert any(candidate["is_defaults"] for candidate in candidates)
    assert len(runs) == 2 * len(candidates)
    assert results["confirmed"]["winner"] == results["best_trial"] == results["shipped_trial"]
    assert "Confirmed val/acc, mean of 2 seeds" in ran.out
    assert f"{len(runs)} trainings" in ran.err
    winner = OmegaConf.load(folder / "best" / "config.yaml")
    assert (winner.seed, winner.data.seed, winner.data.val_seed) == (42, 42, None)
    run = OmegaConf.load(folder / "confirm" / "0" / ".hydra" / "config.yaml")
    assert run.seed == 43
    assert not list(folder.glob("confirm/*/checkpoints/*.ckpt"))
    assert f"--config-dir {folder.relative_to(tmp_path)} experiment=best" in ran.out
    succeed("--config-dir", str(folder), "experiment=best", "hydra.run.dir=again", cwd=tmp_path, **TRUST)
    metrics = "csv/metrics.csv"
    assert (tmp_path / "again" / metrics).read_text() == (folder / str(results["best_trial"]) / metrics).read_text()
    assert json.loads((folder / "best" / "metrics.json").read_text())


@pytest.mark.slow
def test_an_interrupted_confirmation_goes_on_with_the_runs_that_are_missing(tmp_path: Path) -> None:
    sleepy = ("model._target_=faulty.SleepyClassifier", "hydra/sweeper/pruner=none", "trainer.max_epochs=2")
    search = ("hparams_search=mlp", *TINY, *sleepy, "hydra.sweeper.n_trials=2", "confirm.n_seeds=3")
    process = start(*search, cwd=tmp_path, SLEEP_S="0.2", **TRUST)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("outputs/mlp/*/confirm/2")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (130, False)
    assert not (the_folder(tmp_path) / "best").exists()
    before = {run.number: run.datetime_complete for run in runs_in(tmp_path) if run.state == TrialState.COMPLETE}
    ran = succeed("resume=last", cwd=tmp_path, SLEEP_S="0", **TRUST)
    after = {run.number: run.datetime_complete for run in runs_in(tmp_path)}
    assert (len(before), len(after)) == (2, 6)  # the third one had begun
    assert before.items() <= after.items()
    assert "Confirmed val/acc, mean of 3 seeds" in ran.out
    assert (the_folder(tmp_path) / "best" / "model.pt").is_file()


@pytest.mark.slow
def test_without_two_candidates_that_work_the_best_trial_is_exported_and_the_reason_is_printed(tmp_path: Path) -> None:
    options = ("hydra.sweeper.timeout=0.01", "confirm.n_seeds=2")
    succeed("hparams_search=mlp", *SMALL, "hydra.sweeper.n_trials=2", "confirm=off", cwd=tmp_path)
    ran = succeed("resume=last", "confirm=default", *options, cwd=tmp_path)
    assert "The best trials were not confirmed: hydra.sweeper.timeout of 0.01 s is over" in ran.err
    assert (the_folder(tmp_path) / "best" / "model.pt").is_file()
