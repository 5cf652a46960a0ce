"""The real command, run with -m in an empty folder, and what it left read back."""

import shlex
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra_plugins.hydra_optuna_sweeper.config import OptunaSweeperConf
from omegaconf import OmegaConf
from optuna.trial import TrialState
from sklearn.datasets import load_digits

import lightsweep
from lightsweep.search.folder import reserve_folder
from lightsweep.sweeper.config import LightsweepConf
from lightsweep.sweeper.refit import epochs_to_refit
from lightsweep.trial.status import status_of
from tests.command import (
    FAULTY,
    FIXED,
    SMALL,
    TRUST,
    Ran,
    rows_of,
    study_in,
    succeed,
    the_folder,
    train,
)

pytestmark = pytest.mark.slow

EPOCHS = 3
N_TRIALS = 14


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """A search on the digits that is long enough for the median pruner to prune."""
    cwd = tmp_path_factory.mktemp("search")
    ran = succeed(
        "-m",
        "hparams_search=mlp",
        f"hydra.sweeper.n_trials={N_TRIALS}",
        f"trainer.max_epochs={EPOCHS}",
        "hydra.sweeper.keep_checkpoints=null",
        cwd=cwd,
    )
    return the_folder(cwd), ran


def test_the_sweeper_has_the_settings_of_hydras_optuna_sweeper() -> None:
    assert {field.name for field in fields(OptunaSweeperConf)} <= {field.name for field in fields(LightsweepConf)}


def test_a_search_completes_some_trials_prunes_some_and_fails_none(search: tuple[Path, Ran]) -> None:
    states = [t.state for t in study_in(search[0]).trials]
    assert len(states) == N_TRIALS
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}


def test_each_trial_has_the_folder_of_its_number_with_its_own_parameters(search: tuple[Path, Ran]) -> None:
    folder, _ = search
    for trial in study_in(folder).trials:
        here = folder / str(trial.number)
        config = OmegaConf.load(here / ".hydra" / "config.yaml")
        choices = OmegaConf.load(here / ".hydra" / "hydra.yaml").hydra.runtime.choices
        for name, value in trial.params.items():
            assert (choices[name] if name == "optimizer" else OmegaConf.select(config, name)) == value
        assert trial.user_attrs["folder"] == str(here)


def test_a_trials_value_is_the_best_that_it_reported_and_the_one_of_its_checkpoint(search: tuple[Path, Ran]) -> None:
    folder, _ = search
    for trial in study_in(folder).trials:
        result = OmegaConf.load(folder / str(trial.number) / "result.yaml")
        checkpoint = torch.load(folder / str(trial.number) / "checkpoints" / "best.ckpt", weights_only=True)
        best = max(trial.intermediate_values.values())
        assert result.value == best
        assert checkpoint["epoch"] == result.best_epoch == trial.user_attrs["best_epoch"]
        if trial.state == TrialState.COMPLETE:
            assert trial.value == best
            assert len(trial.intermediate_values) == EPOCHS


def test_a_pruned_trial_ended_cleanly_and_says_when_and_against_what(search: tuple[Path, Ran]) -> None:
    folder, ran = search
    pruned = [t for t in study_in(folder).trials if t.state == TrialState.PRUNED]
    for trial in pruned:
        here = folder / str(trial.number)
        result = OmegaConf.load(here / "result.yaml")
        assert result.n_epochs == len(trial.intermediate_values) < EPOCHS
        assert f"at epoch {result.n_epochs - 1}, MedianPruner: best so far" in result.pruned
        assert "threshold" in result.pruned
        log = (here / "train.log").read_text()
        assert "Pruned: " in log
        assert "Traceback" not in log
        assert any(row["val/acc"] for row in rows_of(here / "csv" / "metrics.csv"))
    assert "Job failed" not in ran.out + ran.err
    assert "Traceback" not in ran.out + ran.err


def test_the_table_and_the_results_say_what_the_study_says(search: tuple[Path, Ran]) -> None:
    folder, _ = search
    study = study_in(folder)
    rows = rows_of(folder / "trials.csv")
    assert [int(row["number"]) for row in rows] == list(range(N_TRIALS))
    assert [row["state"] for row in rows] == [t.state.name.lower() for t in study.trials]
    assert [float(row["optimizer.lr"]) for row in rows] == [t.params["optimizer.lr"] for t in study.trials]
    results = OmegaConf.load(folder / "optimization_results.yaml")
    assert results.best_trial == study.best_trial.number
    assert results.best_value == study.best_value
    assert dict(results.best_params) == study.best_params
    assert results.best_folder == str(folder / str(study.best_trial.number))
    n_pruned = sum(t.state == TrialState.PRUNED for t in study.trials)
    assert dict(results.n_trials) == {
        "finished": N_TRIALS,
        "complete": N_TRIALS - n_pruned,
        "pruned": n_pruned,
        "infeasible": 0,
        "failed": 0,
    }


def test_the_screen_shows_one_line_per_trial_and_the_summary(search: tuple[Path, Ran]) -> None:
    folder, ran = search
    study = study_in(folder)
    assert len(ran.err.splitlines()) == N_TRIALS  # no bar of Lightning, no warning, nothing of Hydra
    for done, line in enumerate(ran.err.splitlines(), start=1):
        assert line.startswith(f"[{done}/{N_TRIALS}] trial ")
    saved = sum(EPOCHS - len(t.intermediate_values) for t in study.trials)
    assert f"{N_TRIALS} (" in ran.out
    assert f"{study.best_value:.4f} (trial {study.best_trial.number})" in ran.out
    assert f"{saved} of {EPOCHS * N_TRIALS} epochs" in ran.out
    for name in study.best_params:
        assert f"\n  {name} " in ran.out
    assert "test/acc 0." in ran.out
    assert (folder / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    for command in ("report.html", "optuna-dashboard ", "lightsweep.load(", "python "):
        assert command in ran.out


def test_the_shipped_model_predicts_raw_features_as_well_as_it_says(search: tuple[Path, Ran]) -> None:
    folder, _ = search
    results = OmegaConf.load(folder / "optimization_results.yaml")
    shipped = lightsweep.load(folder / "best")
    x, y = load_digits(return_X_y=True)
    assert np.mean(shipped.predict(x) == y) > 0.85
    assert shipped.metrics["test/acc"] == results.shipped["test/acc"]
    config = OmegaConf.load(folder / "best" / ".hydra" / "config.yaml")
    assert config.refit is True
    assert config.trainer.max_epochs == epochs_to_refit(study_in(folder).trials[results.best_trial])


def test_the_command_in_the_results_repeats_the_best_trial_exactly(search: tuple[Path, Ran], tmp_path: Path) -> None:
    folder, _ = search
    results = OmegaConf.load(folder / "optimization_results.yaml")
    assert results.command.startswith("python ")
    succeed(*shlex.split(results.command)[2:], cwd=tmp_path)
    [again] = tmp_path.glob("outputs/train/*/result.yaml")
    assert OmegaConf.load(again).value == results.best_value


def test_a_reshuffled_search_splits_the_rows_anew_for_each_trial_and_not_for_the_refit(tmp_path: Path) -> None:
    arguments = ("hparams_search=mlp", *SMALL, "trainer.max_epochs=1", "data.resampling=reshuffle")
    succeed(*arguments, "hydra.sweeper.n_trials=2", cwd=tmp_path)
    succeed("resume=last", "hydra.sweeper.n_trials=3", cwd=tmp_path)
    folder = the_folder(tmp_path)
    configs = {name: OmegaConf.load(folder / name / ".hydra" / "config.yaml") for name in ("0", "1", "2", "best")}
    assert [config.data.val_seed for config in configs.values()] == [1, 2, 3, None]
    best = study_in(folder).best_trial
    assert f"data.val_seed={best.number + 1}" in OmegaConf.load(folder / "optimization_results.yaml").command
    refused = train("resume=last", "data.resampling=holdout", cwd=tmp_path)
    assert "data.resampling" in refused.err
    assert "holdout" in refused.err
    assert refused.code == 1


def test_failed_trials_are_fail_with_a_reason_and_the_search_goes_on(tmp_path: Path) -> None:
    ran = succeed(
        "hparams_search=mlp",
        *SMALL,
        "hydra/sweeper/sampler=grid",
        FAULTY,
        "model.hidden_size=choice(8,16,24,32,40)",
        *FIXED,
        cwd=tmp_path,
        **TRUST,
    )
    folder = the_folder(tmp_path)
    ended = {t.params["model.hidden_size"]: t for t in study_in(folder).trials}
    reasons = {size: t.user_attrs.get("fail_reason") for size, t in ended.items()}
    assert reasons == {
        8: None,
        16: "RuntimeError: this size does not work",
        24: "val/acc is nan at epoch 0",
        32: "val/acc is inf at epoch 0",
        40: None,
    }
    assert {size: status_of(t) for size, t in ended.items() if size not in (8, 40)} == {
        16: "failed",
        24: "infeasible",
        32: "infeasible",
    }
    assert "2 infeasible, 1 failed" in ran.out
    assert " 2 diverged, 1 error\n" in ran.out
    assert "this size does not work" in (folder / str(ended[16].number) / "error.txt").read_text()
    assert "Traceback" not in ran.out + ran.err
    broken = folder / str(ended[16].number) / "train.log"
    assert "this size does not work" in broken.read_text()
    assert "Traceback" in broken.read_text()  # a bug in a trial keeps it, in that trial's log


def test_a_search_in_which_nothing_completes_says_why_and_exits_with_1(tmp_path: Path) -> None:
    ran = train(
        "hparams_search=mlp",
        *SMALL,
        FAULTY,
        "model.hidden_size=16",
        "hydra.sweeper.max_consecutive_failures=2",
        cwd=tmp_path,
        **TRUST,
    )
    assert ran.code == 1
    assert "2 trials failed in a row (hydra.sweeper.max_consecutive_failures)" in ran.out
    assert ran.err.splitlines()[-1].startswith("error: no trial completed: 2 failed, 0 were pruned.")
    assert "this size does not work" in ran.err.splitlines()[-1]
    assert "Traceback" not in ran.out + ran.err
    folder = the_folder(tmp_path)
    assert (folder / "report.html").is_file()
    assert OmegaConf.load(folder / "optimization_results.yaml").n_trials.failed == 2


def test_searches_that_start_in_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    hydra = {"sweep": {"dir": str(tmp_path / "2026-01-01_00-00-00")}, "overrides": {"hydra": []}}
    configs = [OmegaConf.create({"hydra": hydra}) for _ in range(3)]
    folders = [reserve_folder(c)[0] for c in configs]
    assert len(set(folders)) == 3
    for c, folder in zip(configs, folders, strict=True):
        assert c.hydra.sweep.dir == str(folder)
        assert c.hydra.overrides.hydra == [f"hydra.sweep.dir='{folder}'"]


def test_a_relative_storage_is_one_file_also_if_jobs_change_their_folder(tmp_path: Path) -> None:
    storage = ("hydra.sweeper.storage=sqlite:///kept.db", "hydra.job.chdir=true")
    succeed("hparams_search=mlp", *SMALL, *storage, "hydra.sweeper.n_trials=2", cwd=tmp_path)
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.db")] == ["kept.db"]
