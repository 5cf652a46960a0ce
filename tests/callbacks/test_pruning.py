"""The pruning callback between a real trainer and a real study: what is reported, and how a fit ends."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import pytorch_lightning as L
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import CSVLogger

from lightsweep.callbacks.checkpoint import BestCheckpoint
from lightsweep.callbacks.early_stopping import EarlyStopping
from lightsweep.callbacks.last_checkpoint import LastCheckpoint
from lightsweep.callbacks.pruning import PruningCallback
from lightsweep.callbacks.pruning_reason import pruning_reason
from lightsweep.data.batches import TensorBatches
from lightsweep.direction import Direction
from lightsweep.errors import ConfigError
from lightsweep.failures import Kind, TrialStoppedError, TrialTimeoutError
from lightsweep.model.module import MLPModule
from lightsweep.storage.storage import open_storage
from lightsweep.sweeper.config import DRIVER, SWEEPER_TARGET
from lightsweep.trial.identity import ProcessIdentity
from lightsweep.trial.pruner import build_pruner
from lightsweep.trial.stop import clear_stop_request, request_stop
from lightsweep.trial.time_limit import lift_time_limit, limit_time
from tests.callbacks.scripted import N_BATCHES, Scripted, batches, fit
from tests.model.modules import settings

RISING = (0.1, 0.2, 0.3, 0.4, 0.5)
ENDED_WELL = ["on_train_end", "on_fit_end", "teardown"]
Watched = Callable[..., tuple[Any, L.Trainer, dict[int, float]]]


class PrunesFrom(BasePruner):
    """Says stop at this step and at every later one; None: never."""

    def __init__(self, step: int | None) -> None:
        self.step = step

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        assert trial.last_step is not None
        return self.step is not None and trial.last_step >= self.step


class Witness(Callback):
    """Keeps the names of the hooks that Lightning called at the end."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.seen.append("on_train_end")

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.seen.append("on_fit_end")

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        assert stage == "fit"
        self.seen.append("teardown")

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self.seen.append("on_exception")


class WitnessLogger(CSVLogger):
    """Keeps how it was finalised."""

    statuses: tuple[str, ...] = ()

    def finalize(self, status: str) -> None:
        super().finalize(status)
        self.statuses += (status,)


def study_of(pruner: BasePruner, *, direction: Direction = "maximize") -> optuna.Study:
    return optuna.create_study(direction=direction, pruner=pruner)


def watcher_of(study: optuna.Study | None, *, direction: Direction = "maximize", monitor: str = "val/acc") -> Any:
    return PruningCallback(monitor=monitor, direction=direction, trial=study and study.ask())


@pytest.fixture
def watched(quiet_trainer: dict[str, Any]) -> Watched:
    """Trains beside a trial whose pruner says stop from this epoch on; tells what the trial was told."""

    def train(
        values: Sequence[float],
        *callbacks: Callback,
        prunes_from: int | None = None,
        direction: Direction = "maximize",
        **arguments: Any,
    ) -> tuple[Any, L.Trainer, dict[int, float]]:
        study = study_of(PrunesFrom(prunes_from), direction=direction)
        watcher = watcher_of(study, direction=direction)
        trainer = fit(values, callbacks=[*callbacks, watcher], **{**quiet_trainer, **arguments})
        return watcher, trainer, study.trials[0].intermediate_values

    return train


def first(n_epochs: int) -> dict[int, float]:
    return dict(enumerate(RISING[:n_epochs]))


EVERY_OTHER = {"max_epochs": 6, "check_val_every_n_epoch": 2}
REPORTS: dict[str, tuple[dict[str, Any], int | None, dict[int, float], bool]] = {
    "never pruned": ({}, None, first(5), False),
    "pruned at once": ({}, 0, first(1), True),
    "pruned at the second epoch": ({}, 1, first(2), True),
    "pruned at the last but one": ({}, 3, first(4), True),
    "after the last epoch there is nothing left to save": ({}, 4, first(5), False),
    "a minimum of epochs does not keep it going": ({"min_epochs": 4}, 1, first(2), True),
    "a minimum of steps does not": ({"min_steps": 9}, 1, first(2), True),
    "both together do not": ({"min_epochs": 5, "min_steps": 10}, 1, first(2), True),
    "of two validations in an epoch the best, after the epoch": ({"val_check_interval": 0.5}, 0, {0: 0.2}, True),
    "an epoch without a validation reports nothing": (EVERY_OTHER, None, {1: 0.1, 3: 0.2, 5: 0.3}, False),
    "an epoch without a validation is not judged": (EVERY_OTHER, 2, {1: 0.1, 3: 0.2}, True),
    "the sanity check is not reported": ({"max_epochs": 2, "num_sanity_val_steps": 2}, None, first(2), False),
}


@pytest.mark.parametrize(("arguments", "prunes_from", "expected", "is_pruned"), REPORTS.values(), ids=REPORTS)
def test_a_fit_reports_each_epoch_and_ends_as_the_pruner_decides(
    arguments: dict[str, Any], prunes_from: int | None, expected: dict[int, float], is_pruned: bool, watched: Watched
) -> None:
    watcher, trainer, reported = watched(RISING, prunes_from=prunes_from, **arguments)
    assert reported == expected
    assert watcher.n_epochs == trainer.current_epoch == max(reported) + 1
    assert trainer.global_step == N_BATCHES * watcher.n_epochs
    assert (watcher.pruned is not None) is is_pruned
    assert watcher.failed is None
    assert (watcher.best_value, watcher.best_epoch) == (max(reported.values()), max(reported))


def test_a_pruned_fit_ends_like_any_other(tmp_path: Path, watched: Watched) -> None:
    witness, logger = Witness(), WitnessLogger(tmp_path, name="", version="")
    watcher, trainer, _ = watched(RISING, witness, prunes_from=1, logger=logger)
    assert watcher.pruned.startswith("val/acc 0.2000 at epoch 1, PrunesFrom")
    assert witness.seen == ENDED_WELL
    assert logger.statuses == ("success",)
    assert trainer.interrupted is False
    assert [float(m["val/acc"]) for m in logger.experiment.metrics] == []  # all is on the disk
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 3  # the header and two epochs


def test_a_pruned_fit_is_a_pruned_trial_once_it_is_told(quiet_trainer: dict[str, Any]) -> None:
    study = study_of(PrunesFrom(1))

    def objective(trial: optuna.Trial) -> float:
        watcher = PruningCallback(monitor="val/acc", direction="maximize", trial=trial)
        fit(RISING, callbacks=[watcher], **quiet_trainer)
        if watcher.pruned:
            raise optuna.TrialPruned(watcher.pruned)
        raise AssertionError("it was not pruned")

    study.optimize(objective, n_trials=2)
    assert [t.state for t in study.trials] == [TrialState.PRUNED] * 2
    assert [t.value for t in study.trials] == [0.2, 0.2]  # Optuna's rule: the last report


@pytest.mark.parametrize("prunes_from", [0, 2])
def test_the_checkpoint_of_the_epoch_that_was_pruned_is_there(
    prunes_from: int, tmp_path: Path, watched: Watched
) -> None:
    checkpoint = BestCheckpoint(dirpath=str(tmp_path), filename="best", monitor="val/acc", direction="maximize")
    watcher, *_ = watched(RISING, checkpoint, prunes_from=prunes_from, enable_checkpointing=True)
    saved = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert saved["epoch"] == watcher.best_epoch == prunes_from
    assert saved["state_dict"]["weight"].item() == -N_BATCHES * (prunes_from + 1)


@pytest.mark.parametrize(
    ("direction", "expected"),
    [("maximize", {0: 0.7, 1: 0.5, 2: 0.9}), ("minimize", {0: 0.2, 1: 0.3, 2: 0.1})],
)
def test_several_validations_in_an_epoch_are_one_report_of_the_best(
    direction: Direction, expected: dict[int, float], watched: Watched
) -> None:
    values = (0.7, 0.2, 0.3, 0.5, 0.1, 0.9)
    watcher, _, reported = watched(values, direction=direction, max_epochs=3, val_check_interval=0.5)
    assert reported == expected
    assert (watcher.best_epoch, watcher.best_value) == (2, expected[2])


@pytest.mark.parametrize("with_trial", [True, False])
def test_a_misspelled_monitor_is_refused_with_what_was_logged(with_trial: bool, quiet_trainer: dict[str, Any]) -> None:
    study = study_of(PrunesFrom(None))
    watcher = watcher_of(study if with_trial else None, monitor="val/accuracy")
    with pytest.raises(ConfigError, match=r"monitor is 'val/accuracy', .* It logged: val/acc\."):
        fit(RISING, callbacks=[watcher], **quiet_trainer)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("before", [(), (0.1, 0.2)])
def test_a_value_that_is_not_finite_fails_the_fit_and_is_not_reported(
    before: tuple[float, ...], value: float, watched: Watched
) -> None:
    witness = Witness()
    watcher, trainer, reported = watched((*before, value, 0.9, 0.9), witness, min_epochs=9)
    assert watcher.failed == f"val/acc is {value} at epoch {len(before)}"
    assert watcher.pruned is None
    assert watcher.best_value == (max(before) if before else None)
    assert reported == dict(enumerate(before))
    assert trainer.current_epoch == len(before) + 1
    assert witness.seen == ENDED_WELL


def test_an_auroc_of_rows_that_are_all_alike_says_so(quiet_trainer: dict[str, Any]) -> None:
    def rows(y: torch.Tensor) -> TensorBatches:
        return TensorBatches(torch.randn(len(y), 2), y, batch_size=8, shuffle_seed=None)

    watcher = PruningCallback(monitor="val/auroc", direction="maximize")
    trainer = L.Trainer(**quiet_trainer, callbacks=[watcher], max_epochs=2, logger=False)
    trainer.fit(MLPModule(**settings(d_out=2)), rows(torch.arange(32) % 2), rows(torch.zeros(16, dtype=torch.int64)))
    assert watcher.failed == "val/auroc is nan at epoch 0: of no class are there both rows and others to tell them from"
    assert watcher.kind == Kind.ERROR


def test_an_epoch_with_a_value_that_is_not_finite_is_not_reported_at_all(watched: Watched) -> None:
    values = (0.1, math.nan, 0.9, 0.9)
    watcher, _, reported = watched(values, prunes_from=0, max_epochs=2, val_check_interval=0.5)
    assert reported == {}
    assert watcher.failed == "val/acc is nan at epoch 0"
    assert watcher.pruned is None


def test_without_a_trial_only_the_best_is_kept(quiet_trainer: dict[str, Any]) -> None:
    watcher = watcher_of(None)
    fit((0.3, 0.8, 0.5), callbacks=[watcher], **quiet_trainer)
    assert (watcher.best_value, watcher.best_epoch, watcher.n_epochs) == (0.8, 1, 3)
    assert watcher.pruned is watcher.failed is None


def test_an_early_stop_is_a_complete_trial(watched: Watched) -> None:
    early = EarlyStopping(monitor="val/acc", direction="maximize", patience=2, min_delta=0.0)
    watcher, _, reported = watched((0.3, 0.5, 0.4, 0.5, 0.9, 0.9), early)
    assert reported == {0: 0.3, 1: 0.5, 2: 0.4, 3: 0.5}
    assert watcher.pruned is watcher.failed is None
    assert watcher.best_value == 0.5


@pytest.fixture
def searched(tmp_path: Path, quiet_trainer: dict[str, Any]) -> Iterator[optuna.Study]:
    """The study of a search, in a journal with two trials; Hydra tells this process that it runs job 1."""
    sweeper = {
        "_target_": SWEEPER_TARGET,
        "study_name": "mlp",
        "storage": None,
        "pruner": {"_target_": "optuna.pruners.NopPruner"},
    }
    cfg = {
        "sweeper": sweeper,
        "mode": RunMode.MULTIRUN,
        "sweep": {"dir": str(tmp_path)},
        "job": {"num": 1},
        "overrides": {"task": []},
        "runtime": {"cwd": str(tmp_path)},
    }
    HydraConfig.instance().cfg = OmegaConf.create({"hydra": cfg})  # type: ignore[assignment]
    study = optuna.create_study(
        study_name="mlp", storage=open_storage(str(tmp_path / "study.journal")), direction="maximize"
    )
    for _ in range(2):
        study.ask()
    yield study
    HydraConfig.instance().cfg = None
    open_storage.cache_clear()


def test_a_job_of_a_search_reports_to_its_own_trial_with_the_searchs_pruner(
    searched: optuna.Study, quiet_trainer: dict[str, Any]
) -> None:
    watcher = watcher_of(None)
    fit(RISING, callbacks=[watcher], **quiet_trainer)
    assert [len(t.intermediate_values) for t in searched.get_trials()] == [0, 5]
    assert watcher.trial.study.pruner.__class__.__name__ == "NopPruner"


@pytest.mark.parametrize(("n_epochs", "is_interrupted"), [(5, True), (2, True), (1, False)])
def test_a_search_that_was_asked_to_stop_ends_its_fits_after_the_epoch_but_not_the_last_one(
    n_epochs: int, is_interrupted: bool, searched: optuna.Study, tmp_path: Path, quiet_trainer: dict[str, Any]
) -> None:
    request_stop(tmp_path, at_once=False)
    watcher, witness = watcher_of(None), Witness()
    fit(RISING[:n_epochs], callbacks=[watcher, witness], min_epochs=n_epochs, **quiet_trainer)
    assert searched.get_trials()[1].intermediate_values == {0: 0.1}
    assert watcher.interrupted is is_interrupted
    assert watcher.pruned is watcher.failed is None
    assert witness.seen == ENDED_WELL


def test_a_search_goes_on_when_another_one_in_its_folder_is_asked_to_stop(
    searched: optuna.Study, tmp_path: Path, quiet_trainer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ProcessIdentity.here()
    monkeypatch.setenv(DRIVER, json.dumps(replace(here, pid=here.pid + 1).to_record()))
    request_stop(tmp_path, at_once=True)
    monkeypatch.setenv(DRIVER, json.dumps(here.to_record()))
    clear_stop_request(tmp_path)  # what our driver does when it starts
    fit(RISING, callbacks=[watcher_of(None)], **quiet_trainer)
    assert len(searched.get_trials()[1].intermediate_values) == 5
    assert len(list(tmp_path.glob(".stop*"))) == 2


def test_a_search_that_was_asked_to_stop_does_not_wait_for_a_validation_and_goes_on_as_if_nothing_had_happened(
    searched: optuna.Study, tmp_path: Path, quiet_trainer: dict[str, Any]
) -> None:
    rare = {**quiet_trainer, "enable_checkpointing": True, **EVERY_OTHER}
    request_stop(tmp_path, at_once=False)
    watcher = watcher_of(None)
    fit(RISING, callbacks=[watcher, LastCheckpoint(dirpath=str(tmp_path), every_s=60)], **rare)
    assert (watcher.interrupted, watcher.n_epochs) == (True, 1)
    assert searched.get_trials()[1].intermediate_values == {}

    clear_stop_request(tmp_path)
    watcher, last = watcher_of(None), LastCheckpoint(dirpath=str(tmp_path), every_s=60)
    trainer = fit(RISING, callbacks=[watcher, last], ckpt_path=last.path, **rare)
    assert searched.get_trials()[1].intermediate_values == {1: 0.1, 3: 0.2, 5: 0.3}
    assert (watcher.interrupted, watcher.n_epochs) == (False, 6)
    assert trainer.global_step == 6 * N_BATCHES


def test_a_search_whose_time_is_over_ends_its_fits_in_the_middle_of_an_epoch(
    searched: optuna.Study, tmp_path: Path, quiet_trainer: dict[str, Any]
) -> None:
    request_stop(tmp_path, at_once=True)
    with pytest.raises(TrialStoppedError):
        fit(RISING, callbacks=[watcher_of(None)], **quiet_trainer)
    assert searched.get_trials()[1].intermediate_values == {}


def test_a_trial_whose_time_is_over_ends_its_fit(watched: Watched) -> None:
    limit_time(1e-6)
    try:
        with pytest.raises(TrialTimeoutError, match="longer than hydra"):
            watched(RISING)
    finally:
        lift_time_limit()


@pytest.mark.parametrize(
    ("prunes_from", "n_before", "n_epochs", "told"),
    [(1, 4, 4, "val/acc 0.4000 at epoch 3"), (None, 2, 5, "not pruned")],
)
def test_a_trial_that_is_run_again_repeats_its_reports_and_is_not_judged_where_it_was_judged_before(
    prunes_from: int | None, n_before: int, n_epochs: int, told: str, quiet_trainer: dict[str, Any]
) -> None:
    study = study_of(PrunesFrom(prunes_from))
    watcher = watcher_of(study)
    for step in range(n_before):  # what it had come to before its process died
        watcher.trial.report(RISING[step], step)
    fit(RISING, callbacks=[watcher], **quiet_trainer)
    assert study.trials[0].intermediate_values == first(n_epochs)
    assert watcher.n_epochs == n_epochs  # the pruner would have ended the first one at epoch 1
    assert (watcher.pruned or "not pruned").startswith(told)


@pytest.mark.parametrize("fast_dev_run", [1, 2])
def test_a_smoke_test_touches_no_study(
    fast_dev_run: int, searched: optuna.Study, watched: Watched, quiet_trainer: dict[str, Any]
) -> None:
    watcher = watcher_of(None)
    fit(RISING, callbacks=[watcher], fast_dev_run=fast_dev_run, **quiet_trainer)
    assert [t.intermediate_values for t in searched.get_trials()] == [{}, {}]
    assert watcher.trial is None
    assert watched(RISING, fast_dev_run=fast_dev_run)[2] == {}  # nor a trial that was handed over


def test_validation_alone_reports_nothing(quiet_trainer: dict[str, Any]) -> None:
    study = study_of(PrunesFrom(None))
    watcher = watcher_of(study)
    L.Trainer(callbacks=[watcher], logger=False, **quiet_trainer).validate(Scripted(RISING), batches(), verbose=False)
    assert study.trials[0].intermediate_values == {}


OTHERS = ((0.5, 0.6), (0.6, 0.7), (0.7, 0.9), (0.8, 0.8))


def judged(trial: optuna.Trial, *values: float) -> bool:
    """Report as the callback does, and give back the pruner's last word."""
    said_stop = False
    for step, value in enumerate(values):
        trial.report(value, step)
        said_stop = trial.should_prune()
    return said_stop


def study_with_others(pruner: BasePruner, *, direction: Direction) -> optuna.Study:
    """Four trials that completed two epochs, and one that was pruned after them."""
    study = study_of(pruner, direction=direction)
    for values in OTHERS:
        trial = study.ask()
        judged(trial, *values)
        study.tell(trial, values[-1])
    trial = study.ask()
    judged(trial, 0.1, 0.2)
    study.tell(trial, state=TrialState.PRUNED)
    return study


MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 4}
QUARTER = {"_target_": "optuna.pruners.PercentilePruner", "percentile": 25.0, "n_startup_trials": 4}
HALVING = {"_target_": "optuna.pruners.SuccessiveHalvingPruner", "min_resource": 1, "reduction_factor": 2}
PATIENT = {"_target_": "optuna.pruners.PatientPruner", "patience": 0}
THRESHOLD = {"_target_": "optuna.pruners.ThresholdPruner"}
HALF = "(the best 50 % of 4 completed trials at that epoch)"
A_QUARTER = "(the best 25 % of 4 completed trials at that epoch)"
OF_FIVE = "5 other trials at that epoch, median 0.7000"


@pytest.mark.parametrize(
    ("pruner", "direction", "values", "reason"),
    [
        (MEDIAN, "maximize", (0.3, 0.2), f"MedianPruner: best so far 0.3000, threshold 0.7500 {HALF}"),
        (MEDIAN, "minimize", (0.85, 0.95), f"MedianPruner: best so far 0.8500, threshold 0.7500 {HALF}"),
        (QUARTER, "maximize", (0.3, 0.8), f"PercentilePruner: best so far 0.8000, threshold 0.8250 {A_QUARTER}"),
        (QUARTER, "minimize", (0.9, 0.7), f"PercentilePruner: best so far 0.7000, threshold 0.6750 {A_QUARTER}"),
        (
            {**PATIENT, "wrapped_pruner": MEDIAN},
            "maximize",
            (0.3, 0.2),
            f"PatientPruner: best so far 0.3000, threshold 0.7500 {HALF}",
        ),
        ({**PATIENT, "wrapped_pruner": None}, "maximize", (0.3, 0.2), f"PatientPruner: {OF_FIVE}, best 0.9000"),
        ({**THRESHOLD, "lower": 0.25}, "maximize", (0.3, 0.2), "ThresholdPruner: outside 0.25 to inf"),
        ({**THRESHOLD, "lower": 0.01, "upper": 0.15}, "minimize", (0.1, 0.2), "ThresholdPruner: outside 0.01 to 0.15"),
        (HALVING, "maximize", (0.3, 0.3), f"SuccessiveHalvingPruner: {OF_FIVE}, best 0.9000"),
        (HALVING, "minimize", (0.9, 0.95), f"SuccessiveHalvingPruner: {OF_FIVE}, best 0.2000"),
    ],
)
def test_the_reason_names_the_value_the_pruner_and_what_it_was_judged_against(
    pruner: dict[str, Any], direction: Direction, values: tuple[float, float], reason: str
) -> None:
    node = OmegaConf.create(pruner)
    study = study_with_others(build_pruner(node), direction=direction)
    trial = study.ask()
    assert judged(trial, *values)
    said = pruning_reason(trial, epoch=1, monitor="val/acc", settings=node)
    assert said == f"val/acc {values[1]:.4f} at epoch 1, {reason}"


def test_the_first_trial_of_all_is_judged_against_none() -> None:
    trial = study_of(PrunesFrom(0)).ask()
    assert judged(trial, 0.5)
    text = pruning_reason(trial, epoch=0, monitor="val/acc", settings=OmegaConf.create())
    assert text == "val/acc 0.5000 at epoch 0, PrunesFrom: no other trial had come so far"
