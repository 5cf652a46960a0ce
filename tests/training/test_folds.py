"""`data.resampling=kfold`: a model per fold, the mean as the value, a fold as the pruner's step."""

import statistics
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.pruners import NopPruner, ThresholdPruner, WilcoxonPruner
from optuna.trial import Trial, TrialState

from lightsweep.trial.outcome import Outcome
from lightsweep.trial.status import N_FOLDS
from tests.command import FIXED, SMALL, rows_of, study_in, succeed, the_folder
from tests.refit import run

N = 3
CSV = Path("csv", "metrics.csv")
KFOLD = (*SMALL, "data.resampling=kfold", f"data.n_folds={N}")
OfTrial = Callable[..., Trial]


@pytest.fixture
def of_trial(monkeypatch: pytest.MonkeyPatch) -> OfTrial:
    """Let the training be that of a trial of a study in memory."""

    def create(pruner: optuna.pruners.BasePruner | None = None) -> Trial:
        study = optuna.create_study(direction="maximize", pruner=pruner or NopPruner())
        trial = study.ask()
        monkeypatch.setattr("lightsweep.training.folds.job_trial", lambda: trial)
        return trial

    return create


def values_of(trial: Trial) -> dict[int, float]:
    return trial.study.get_trials()[trial.number].intermediate_values


def trained(folder: Path) -> list[str]:
    return sorted(path.parent.parent.name for path in folder.glob("fold_*/csv/metrics.csv"))


def test_each_fold_is_trained_alone_and_the_value_is_the_mean(tmp_path: Path) -> None:
    outcome = run(tmp_path / "all", *KFOLD)
    alone = [run(tmp_path / str(fold), *SMALL, f"data.n_folds={N}", f"data.fold={fold}") for fold in range(N)]
    assert outcome.fold_values == [fold.value for fold in alone]
    assert outcome.value == statistics.fmean(outcome.fold_values)
    assert (outcome.n_epochs, outcome.max_epochs, outcome.best_epoch) == (2 * N, 2 * N, None)
    assert 1 <= (outcome.refit_epochs or 0) <= 2
    assert "the mean of 3 folds" in outcome.summary()
    for fold in range(N):
        assert rows_of(tmp_path / "all" / f"fold_{fold}" / CSV) == rows_of(tmp_path / str(fold) / CSV)
        config = yaml.safe_load((tmp_path / "all" / f"fold_{fold}" / ".hydra" / "config.yaml").read_text())
        assert (config["data"]["fold"], config["data"]["resampling"]) == (fold, "holdout")


def test_a_refit_and_a_dry_run_train_one_model(tmp_path: Path) -> None:
    for name, override in (("refit", "refit=true"), ("dry", "+trainer.fast_dev_run=2")):
        assert run(tmp_path / name, *KFOLD, override).fold_values == []
        assert not list((tmp_path / name).glob("fold_*"))


@pytest.mark.filterwarnings("ignore:WilcoxonPruner is experimental")
def test_the_pruner_gets_the_mean_so_far_or_the_fold_itself_if_it_compares_folds(
    tmp_path: Path, of_trial: OfTrial
) -> None:
    mean_so_far = of_trial()
    values = run(tmp_path / "mean", *KFOLD).fold_values
    assert mean_so_far.user_attrs[N_FOLDS] == N
    assert values_of(mean_so_far) == {i: statistics.fmean(values[: i + 1]) for i in range(N)}
    each = of_trial(WilcoxonPruner())
    assert run(tmp_path / "each", *KFOLD).fold_values == values
    assert values_of(each) == dict(enumerate(values))


def test_a_trial_is_pruned_between_folds(tmp_path: Path, of_trial: OfTrial) -> None:
    trial = of_trial(ThresholdPruner(lower=2.0, n_warmup_steps=1))
    outcome = run(tmp_path, *KFOLD)
    assert list(values_of(trial)) == [0, 1]
    assert outcome.pruned is not None
    assert f"{outcome.value:.4f} at fold 1, ThresholdPruner" in outcome.pruned
    assert (outcome.n_epochs, outcome.max_epochs) == (4, 6)
    assert not (tmp_path / "fold_2").exists()


def test_the_last_fold_is_not_pruned(tmp_path: Path, of_trial: OfTrial) -> None:
    of_trial(ThresholdPruner(lower=2.0, n_warmup_steps=2))
    assert run(tmp_path, *KFOLD).status == "complete"


def test_a_fold_that_was_reported_is_not_trained_again(tmp_path: Path, of_trial: OfTrial) -> None:
    first = of_trial()
    outcome = run(tmp_path, *KFOLD)
    for fold in range(N):
        (tmp_path / f"fold_{fold}" / "csv" / "metrics.csv").unlink()
    (tmp_path / "fold_1" / "result.yaml").unlink()  # as of a fold that was interrupted
    assert run(tmp_path, *KFOLD).fold_values == outcome.fold_values
    assert trained(tmp_path) == ["fold_1"]
    assert len(values_of(first)) == N
    of_trial()  # another study has not reported these folds
    run(tmp_path, *KFOLD)
    assert trained(tmp_path) == [f"fold_{fold}" for fold in range(N)]


@pytest.mark.parametrize(
    ("ended", "status"),
    [({"failed": "val/loss is nan", "kind": "diverged"}, "infeasible"), ({"interrupted": True}, "interrupted")],
)
def test_a_fold_that_fails_or_is_interrupted_ends_the_trial(
    ended: dict[str, object], status: str, tmp_path: Path, of_trial: OfTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = iter([Outcome(monitor="val/acc", value=0.5, n_epochs=2), Outcome(monitor="val/acc", **ended)])  # type: ignore[arg-type]
    monkeypatch.setattr("lightsweep.training.train._train", lambda *_, **__: next(outcomes))
    monkeypatch.setattr("lightsweep.training.train.save_outcome", lambda outcome: outcome)
    trial = of_trial()
    outcome = run(tmp_path, *KFOLD)
    assert outcome.status == status
    assert outcome.failed in (None, "fold 1: val/loss is nan")
    assert list(values_of(trial)) == [0]


@pytest.mark.slow
def test_a_search_over_folds(tmp_path: Path) -> None:
    """Trials with another learning rate are pruned after a fold; the best one is confirmed, refitted and repeated."""
    arguments = ("hparams_search=mlp", *KFOLD, *FIXED[:2], *FIXED[3:], "optimizer.lr=choice(0.05,1e-5,1e-6)")
    options = ("hydra.sweeper.n_trials=7", "hydra.sweeper.sampler.seed=3", "hydra/sweeper/sampler=random")
    pruner = "hydra.sweeper.pruner.n_startup_trials=2"
    ran = succeed(*arguments, *options, pruner, "confirm.top_k=2", "confirm.n_seeds=2", cwd=tmp_path)
    folder = the_folder(tmp_path)
    trials = study_in(folder).get_trials()
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert pruned
    for trial in trials:
        assert len(list((folder / str(trial.number)).glob("fold_*"))) == len(trial.intermediate_values)
    assert all(len(trial.intermediate_values) < N for trial in pruned)
    of_confirm = yaml.safe_load((folder / "confirm" / "0" / ".hydra" / "config.yaml").read_text())
    assert of_confirm["data"]["resampling"] == "holdout"
    assert "Exported model" in ran.out
    assert "fold" in (folder / "report.html").read_text()
