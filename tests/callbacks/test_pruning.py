"""The pruning callback with a real trainer and a real study: what is reported, and how a fit ends."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
import pytorch_lightning as L
import torch
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial
from pytorch_lightning.callbacks import Callback, LambdaCallback
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor

from lightsweep.callbacks.checkpoint import BestCheckpoint
from lightsweep.callbacks.early_stopping import EarlyStopping
from lightsweep.callbacks.last_checkpoint import LastCheckpoint
from lightsweep.callbacks.pruning import PruningCallback
from lightsweep.data.batches import TensorBatches
from lightsweep.direction import Direction
from lightsweep.errors import ConfigError
from lightsweep.failures import Kind, TrialStoppedError, TrialTimeoutError
from lightsweep.model.module import MLPModule
from lightsweep.training.fit import outcome_of
from lightsweep.trial.status import reported_by, seconds_per_epoch_of
from lightsweep.trial.stop import clear_stop_request, request_stop
from lightsweep.trial.time_limit import lift_time_limit, limit_time
from tests.callbacks.scripted import N_BATCHES, Phases, Scripted, batches, fit
from tests.model.modules import settings

RISING = (0.1, 0.2, 0.3, 0.4, 0.5)
HOOKS_AT_THE_END = ["on_train_end", "on_fit_end", "teardown"]
Train = Callable[..., tuple[Any, L.Trainer, dict[int, float]]]


class PruneFrom(BasePruner):
    """Prunes at this step and every later one; None: never."""

    def __init__(self, step: int | None) -> None:
        self.step = step

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        assert trial.last_step is not None
        return self.step is not None and trial.last_step >= self.step


class HookRecorder(LambdaCallback):
    """Records the hooks that Lightning calls at the end of a fit."""

    def __init__(self) -> None:
        self.hooks: list[str] = []
        super().__init__(**{name: partial(self._record, name) for name in (*HOOKS_AT_THE_END, "on_exception")})

    def _record(self, name: str, *_: Any, **__: Any) -> None:
        self.hooks.append(name)


class StatusRecorder(CSVLogger):
    """Records the status that it is finalized with."""

    statuses: tuple[str, ...] = ()

    def finalize(self, status: str) -> None:
        super().finalize(status)
        self.statuses += (status,)


def callback_for(study: optuna.Study | None, *, direction: Direction = "maximize", monitor: str = "val/acc") -> Any:
    return PruningCallback(monitor=monitor, direction=direction, trial=study and study.ask())


@pytest.fixture
def train(quiet_trainer: dict[str, Any]) -> Train:
    """Train with a trial that is pruned from a given epoch on; return callback, trainer and the reported values."""

    def run(
        values: Sequence[float],
        *callbacks: Callback,
        prunes_from: int | None = None,
        direction: Direction = "maximize",
        **arguments: Any,
    ) -> tuple[Any, L.Trainer, dict[int, float]]:
        study = optuna.create_study(direction=direction, pruner=PruneFrom(prunes_from))
        pruning = callback_for(study, direction=direction)
        trainer = fit(values, callbacks=[*callbacks, pruning], **{**quiet_trainer, **arguments})
        return pruning, trainer, study.trials[0].intermediate_values

    return run


def first(n_epochs: int) -> dict[int, float]:
    return dict(enumerate(RISING[:n_epochs]))


EVERY_SECOND = {"max_epochs": 6, "check_val_every_n_epoch": 2}
REPORTS: dict[str, tuple[dict[str, Any], int | None, dict[int, float], bool]] = {
    "never pruned": ({}, None, first(5), False),
    "pruned at once": ({}, 0, first(1), True),
    "pruned at the second epoch": ({}, 1, first(2), True),
    "pruned at the last but one epoch": ({}, 3, first(4), True),
    "not pruned after the last epoch": ({}, 4, first(5), False),
    "pruned before min_epochs": ({"min_epochs": 4}, 1, first(2), True),
    "pruned before min_steps": ({"min_steps": 9}, 1, first(2), True),
    "pruned before both": ({"min_epochs": 5, "min_steps": 10}, 1, first(2), True),
    "the best of two validations in an epoch, after the epoch": ({"val_check_interval": 0.5}, 0, {0: 0.2}, True),
    "an epoch without a validation reports nothing": (EVERY_SECOND, None, {1: 0.1, 3: 0.2, 5: 0.3}, False),
    "not pruned in an epoch without a validation": (EVERY_SECOND, 2, {1: 0.1, 3: 0.2}, True),
    "the sanity check is not reported": ({"max_epochs": 2, "num_sanity_val_steps": 2}, None, first(2), False),
}


@pytest.mark.parametrize(("arguments", "prunes_from", "expected", "is_pruned"), REPORTS.values(), ids=REPORTS)
def test_a_fit_reports_each_epoch_and_ends_when_the_pruner_says_so(
    arguments: dict[str, Any], prunes_from: int | None, expected: dict[int, float], is_pruned: bool, train: Train
) -> None:
    pruning, trainer, reported = train(RISING, prunes_from=prunes_from, **arguments)
    assert reported == expected
    assert pruning.n_epochs == trainer.current_epoch == max(reported) + 1
    assert trainer.global_step == N_BATCHES * pruning.n_epochs
    assert (pruning.pruned is not None) is is_pruned
    assert pruning.failed is None
    assert (pruning.best_value, pruning.best_epoch) == (max(reported.values()), max(reported))
    assert (seconds_per_epoch_of(pruning.trial.study.trials[0]) > 0) is is_pruned


def test_a_pruned_fit_ends_like_any_other_and_its_last_epoch_has_a_checkpoint(tmp_path: Path, train: Train) -> None:
    recorder, logger = HookRecorder(), StatusRecorder(tmp_path, name="", version="")
    checkpoint = BestCheckpoint(dirpath=str(tmp_path), filename="best", monitor="val/acc", direction="maximize")
    pruning, trainer, _ = train(RISING, recorder, checkpoint, prunes_from=1, logger=logger, enable_checkpointing=True)
    saved = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert saved["epoch"] == pruning.best_epoch == 1
    assert saved["state_dict"]["weight"].item() == -2 * N_BATCHES
    assert pruning.pruned.startswith("val/acc 0.2000 at epoch 1, PruneFrom")
    assert recorder.hooks == HOOKS_AT_THE_END
    assert logger.statuses == ("success",)
    assert trainer.interrupted is False
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 3  # the header and two epochs


@pytest.mark.parametrize(
    ("direction", "expected"),
    [("maximize", {0: 0.7, 1: 0.5, 2: 0.9}), ("minimize", {0: 0.2, 1: 0.3, 2: 0.1})],
)
def test_several_validations_in_an_epoch_are_one_report_of_the_best(
    direction: Direction, expected: dict[int, float], train: Train
) -> None:
    values = (0.7, 0.2, 0.3, 0.5, 0.1, 0.9)
    pruning, _, reported = train(values, direction=direction, max_epochs=3, val_check_interval=0.5)
    assert reported == expected
    assert (pruning.best_epoch, pruning.best_value) == (2, expected[2])


@pytest.mark.parametrize("with_trial", [True, False])
def test_an_unknown_monitor_is_an_error_that_lists_the_logged_metrics(
    with_trial: bool, quiet_trainer: dict[str, Any]
) -> None:
    pruning = callback_for(optuna.create_study() if with_trial else None, monitor="val/accuracy")
    with pytest.raises(ConfigError, match=r"monitor is 'val/accuracy', .* It logged: val/acc\."):
        fit(RISING, callbacks=[pruning], **quiet_trainer)


STEP, EPOCH, BOTH = (
    {"on_step": True, "on_epoch": False},
    {"on_step": False, "on_epoch": True},
    {"on_step": True, "on_epoch": True},
)
NOT_OF_A_VALIDATION: dict[str, tuple[str, dict[str, Any]]] = {
    "logged in training, per step": ("acc", {"train": STEP}),
    "logged in training, per epoch": ("acc", {"train": EPOCH}),
    "logged in training, per step and per epoch": ("acc", {"train": BOTH}),
    "the name of training's epoch": ("acc_epoch", {"train": BOTH}),
    "logged in validation per step": ("acc", {"val": STEP}),
    "logged in validation per step, and in training": ("acc", {"val": STEP, "train": EPOCH}),
    "the name of validation's steps": ("acc_step", {"val": BOTH}),
}


@pytest.mark.parametrize("arguments", [{}, {"val_check_interval": 0.5}, {"num_sanity_val_steps": 2}])
@pytest.mark.parametrize(("monitor", "phases"), NOT_OF_A_VALIDATION.values(), ids=NOT_OF_A_VALIDATION)
def test_a_metric_that_no_validation_logs_at_its_end_is_refused(
    monitor: str, phases: dict[str, Any], arguments: dict[str, Any], quiet_trainer: dict[str, Any]
) -> None:
    study = optuna.create_study(direction="maximize")
    pruning = callback_for(study, monitor=monitor)
    with pytest.raises(ConfigError) as refused:
        fit(RISING, callbacks=[pruning], model=Phases(RISING, name="acc", **phases), **{**quiet_trainer, **arguments})
    logged = "acc, acc_epoch, val/acc" if phases.get("val") == BOTH else "val/acc"
    assert str(refused.value) == (
        f"monitor is '{monitor}', which the model did not log at the end of its validation. It logged: {logged}."
        f" Set monitor to such a metric, or log this one in validation_step: self.log('{monitor}', ..., on_epoch=True)."
    )
    assert study.trials[0].intermediate_values == {}


@pytest.mark.parametrize("phases", [{"val": EPOCH}, {"val": BOTH}, {"val": {"enable_graph": True}}])
@pytest.mark.parametrize("in_training", [{}, {"train": STEP}, {"train": EPOCH}, {"train": BOTH}])
def test_of_a_metric_of_both_phases_the_value_of_the_validation_counts(
    phases: dict[str, Any], in_training: dict[str, Any], tmp_path: Path, quiet_trainer: dict[str, Any]
) -> None:
    study = optuna.create_study(direction="maximize")
    pruning = callback_for(study, monitor="acc")
    checkpoint = BestCheckpoint(dirpath=str(tmp_path), filename="best", monitor="acc", direction="maximize")
    early = EarlyStopping(monitor="acc", direction="maximize", patience=2, min_delta=0.0)
    values = (0.1, 0.2, 0.5, 0.4, 0.3, 0.2)
    fit(
        values,
        callbacks=[pruning, checkpoint, early],
        model=Phases(values, name="acc", **phases, **in_training),
        **{**quiet_trainer, "enable_checkpointing": True},
    )
    assert study.trials[0].intermediate_values == dict(enumerate(values[:5]))
    assert (pruning.best_value, pruning.best_epoch, pruning.n_epochs) == (0.5, 2, 5)
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["epoch"] == 2


def test_a_metric_of_training_that_is_not_finite_is_not_the_monitored_one(quiet_trainer: dict[str, Any]) -> None:
    class NaNInTraining(Phases):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            self.log("acc", math.nan, on_epoch=True, batch_size=1)
            return super().training_step(batch, batch_idx)

    pruning = callback_for(optuna.create_study(direction="maximize"), monitor="acc")
    fit(RISING, callbacks=[pruning], model=NaNInTraining(RISING, name="acc", val=EPOCH), **quiet_trainer)
    assert (pruning.failed, pruning.best_value) == (None, 0.5)


class LogsSometimes(Scripted):
    """Logs `val/acc` in every second validation only."""

    def log(self, *args: Any, **kwargs: Any) -> None:
        if self.trainer.current_epoch % 2 == 0:
            super().log(*args, **kwargs)


def test_a_value_of_an_earlier_validation_is_not_reported_again(quiet_trainer: dict[str, Any]) -> None:
    study = optuna.create_study(direction="maximize")
    fit(RISING, callbacks=[callback_for(study)], model=LogsSometimes(RISING), **quiet_trainer)
    assert study.trials[0].intermediate_values == {0: 0.1, 2: 0.3, 4: 0.5}


class TwoLoaders(Scripted):
    """Logs the same name for each of two validation loaders: the value, and 1 minus the value."""

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        if batch_idx == dataloader_idx == 0:
            self.value = self.values.pop(0)
        value = 1 - self.value if dataloader_idx else self.value
        self.log("val/acc", torch.tensor(value, dtype=torch.float64), batch_size=1)


@pytest.mark.parametrize(("loader", "expected"), [(0, [0.1, 0.2, 0.3]), (1, [0.9, 0.8, 0.7])])
def test_of_several_validation_loaders_one_is_monitored(
    loader: int, expected: list[float], quiet_trainer: dict[str, Any]
) -> None:
    study = optuna.create_study(direction="maximize")
    pruning = callback_for(study, monitor=f"val/acc/dataloader_idx_{loader}")
    trainer = L.Trainer(**quiet_trainer, callbacks=[pruning], max_epochs=3, logger=False)
    trainer.fit(TwoLoaders(RISING), batches(), [batches(), batches()])
    assert [*study.trials[0].intermediate_values.values()] == pytest.approx(expected)


def test_a_monitor_without_its_validation_loader_is_refused_with_the_names(quiet_trainer: dict[str, Any]) -> None:
    trainer = L.Trainer(**quiet_trainer, callbacks=[callback_for(None)], max_epochs=3, logger=False)
    with pytest.raises(ConfigError, match=r"It logged: val/acc/dataloader_idx_0, val/acc/dataloader_idx_1\."):
        trainer.fit(TwoLoaders(RISING), batches(), [batches(), batches()])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("before", [(), (0.1, 0.2)])
def test_a_value_that_is_not_finite_fails_the_fit_and_is_not_reported(
    before: tuple[float, ...], value: float, train: Train
) -> None:
    recorder = HookRecorder()
    pruning, trainer, reported = train((*before, value, 0.9, 0.9), recorder, min_epochs=9)
    assert pruning.failed == f"val/acc is {value} at epoch {len(before)}"
    assert pruning.pruned is None
    assert pruning.best_value == (max(before) if before else None)
    assert reported == dict(enumerate(before))
    assert trainer.current_epoch == len(before) + 1
    assert recorder.hooks == HOOKS_AT_THE_END


def test_the_auroc_of_one_class_fails_with_the_reason(quiet_trainer: dict[str, Any]) -> None:
    def rows(y: torch.Tensor) -> TensorBatches:
        return TensorBatches(torch.randn(len(y), 2), y, batch_size=8, shuffle_seed=None)

    pruning = PruningCallback(monitor="val/auroc", direction="maximize")
    trainer = L.Trainer(**quiet_trainer, callbacks=[pruning], max_epochs=2, logger=False)
    trainer.fit(MLPModule(**settings(d_out=2)), rows(torch.arange(32) % 2), rows(torch.zeros(16, dtype=torch.int64)))
    assert pruning.failed == "val/auroc is nan at epoch 0: all validation rows are of one class"
    assert pruning.kind == Kind.ERROR


def test_an_epoch_with_a_value_that_is_not_finite_is_not_reported(train: Train) -> None:
    values = (0.1, math.nan, 0.9, 0.9)
    pruning, _, reported = train(values, prunes_from=0, max_epochs=2, val_check_interval=0.5)
    assert reported == {}
    assert pruning.failed == "val/acc is nan at epoch 0"
    assert pruning.pruned is None


def test_an_early_stop_is_a_complete_trial(train: Train) -> None:
    early = EarlyStopping(monitor="val/acc", direction="maximize", patience=2, min_delta=0.0)
    pruning, _, reported = train((0.3, 0.5, 0.4, 0.5, 0.9, 0.9), early)
    assert reported == {0: 0.3, 1: 0.5, 2: 0.4, 3: 0.5}
    assert pruning.pruned is pruning.failed is None
    assert pruning.best_value == 0.5


def test_a_job_reports_to_its_own_trial_with_the_pruner_of_the_search(
    study_of_search: optuna.Study, quiet_trainer: dict[str, Any]
) -> None:
    pruning = callback_for(None)
    fit(RISING, callbacks=[pruning], **quiet_trainer)
    assert [len(t.intermediate_values) for t in study_of_search.get_trials()] == [0, 5]
    assert pruning.trial.study.pruner.__class__.__name__ == "NopPruner"


@pytest.mark.parametrize(("n_epochs", "is_interrupted"), [(5, True), (2, True), (1, False)])
def test_a_stop_request_ends_a_fit_after_any_epoch_but_the_last(
    n_epochs: int, is_interrupted: bool, study_of_search: optuna.Study, tmp_path: Path, quiet_trainer: dict[str, Any]
) -> None:
    request_stop(tmp_path, at_once=False)
    pruning, recorder = callback_for(None), HookRecorder()
    fit(RISING[:n_epochs], callbacks=[pruning, recorder], min_epochs=n_epochs, **quiet_trainer)
    assert study_of_search.get_trials()[1].intermediate_values == {0: 0.1}
    assert pruning.interrupted is is_interrupted
    assert pruning.pruned is pruning.failed is None
    assert recorder.hooks == HOOKS_AT_THE_END


def test_a_stop_request_does_not_wait_for_a_validation_and_the_trial_resumes_with_the_same_reports(
    study_of_search: optuna.Study, tmp_path: Path, quiet_trainer: dict[str, Any]
) -> None:
    rare = {**quiet_trainer, "enable_checkpointing": True, **EVERY_SECOND}
    request_stop(tmp_path, at_once=False)
    pruning = callback_for(None)
    fit(RISING, callbacks=[pruning, LastCheckpoint(dirpath=str(tmp_path), every_s=60)], **rare)
    assert (pruning.interrupted, pruning.n_epochs) == (True, 1)
    assert study_of_search.get_trials()[1].intermediate_values == {}

    clear_stop_request(tmp_path)
    pruning, last = callback_for(None), LastCheckpoint(dirpath=str(tmp_path), every_s=60)
    trainer = fit(RISING, callbacks=[pruning, last], ckpt_path=last.path, **rare)
    assert study_of_search.get_trials()[1].intermediate_values == {1: 0.1, 3: 0.2, 5: 0.3}
    assert (pruning.interrupted, pruning.n_epochs) == (False, 6)
    assert trainer.global_step == 6 * N_BATCHES


def test_an_abort_request_ends_a_fit_in_the_middle_of_an_epoch(
    study_of_search: optuna.Study, tmp_path: Path, quiet_trainer: dict[str, Any]
) -> None:
    request_stop(tmp_path, at_once=True)
    with pytest.raises(TrialStoppedError):
        fit(RISING, callbacks=[callback_for(None)], **quiet_trainer)
    assert study_of_search.get_trials()[1].intermediate_values == {}


def test_the_time_limit_of_a_trial_ends_its_fit(train: Train) -> None:
    limit_time(1e-6)
    try:
        with pytest.raises(TrialTimeoutError, match="longer than hydra"):
            train(RISING)
    finally:
        lift_time_limit()


@pytest.mark.parametrize(
    ("prunes_from", "n_before", "n_epochs", "reason"),
    [(1, 4, 4, "val/acc 0.4000 at epoch 3"), (None, 2, 5, "not pruned")],
)
def test_a_trial_that_is_run_again_is_not_pruned_at_epochs_that_it_reported_before(
    prunes_from: int | None, n_before: int, n_epochs: int, reason: str, quiet_trainer: dict[str, Any]
) -> None:
    study = optuna.create_study(direction="maximize", pruner=PruneFrom(prunes_from))
    pruning = callback_for(study)
    for step in range(n_before):  # reported before its process died
        pruning.trial.report(RISING[step], step)
    fit(RISING, callbacks=[pruning], **quiet_trainer)
    assert study.trials[0].intermediate_values == first(n_epochs)
    assert pruning.n_epochs == n_epochs  # the pruner would have pruned the first run at epoch 1
    assert (pruning.pruned or "not pruned").startswith(reason)


@pytest.mark.parametrize("fast_dev_run", [1, 2])
def test_a_fast_dev_run_does_not_report(
    fast_dev_run: int, study_of_search: optuna.Study, train: Train, quiet_trainer: dict[str, Any]
) -> None:
    pruning = callback_for(None)
    fit(RISING, callbacks=[pruning], fast_dev_run=fast_dev_run, **quiet_trainer)
    assert [t.intermediate_values for t in study_of_search.get_trials()] == [{}, {}]
    assert pruning.trial is None
    assert train(RISING, fast_dev_run=fast_dev_run)[2] == {}  # nor with a given trial


def test_validation_alone_reports_nothing(quiet_trainer: dict[str, Any]) -> None:
    study = optuna.create_study()
    pruning = callback_for(study)
    L.Trainer(callbacks=[pruning], logger=False, **quiet_trainer).validate(Scripted(RISING), batches(), verbose=False)
    assert study.trials[0].intermediate_values == {}


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`", "ignore:Total length of `list`")
@pytest.mark.parametrize(
    ("validation", "arguments", "reason"),
    [
        (batches(), {"limit_val_batches": 0}, "trainer.limit_val_batches is 0"),
        (None, {}, "the data module has no val_dataloader"),
        ([], {}, "the validation loader gives no batches"),
        (
            batches(),
            {"check_val_every_n_epoch": 6},
            "trainer.check_val_every_n_epoch is 6, but trainer.max_epochs is 5",
        ),
    ],
)
def test_a_fit_that_would_not_validate_is_refused_before_its_first_epoch(
    validation: Any, arguments: dict[str, Any], reason: str, quiet_trainer: dict[str, Any]
) -> None:
    pruning = callback_for(None)
    trainer = L.Trainer(callbacks=[pruning], logger=False, max_epochs=5, **quiet_trainer, **arguments)
    with pytest.raises(ConfigError, match=f"no validation would run, so val/acc would have no value: {reason}"):
        trainer.fit(Scripted(RISING), batches(), validation)
    assert trainer.global_step == 0


class Twofold(Scripted):
    """Logs `val/loss`, too: 10 minus the number of the validation."""

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.log("val/loss", float(5 + len(self.values)), batch_size=1)


def test_the_other_objectives_have_their_values_at_the_best_epoch_of_the_first(quiet_trainer: dict[str, Any]) -> None:
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"], pruner=PruneFrom(0))
    callback = PruningCallback(
        monitor=["val/acc", "val/loss", "model/n_params"],
        direction=["maximize", "minimize", "minimize"],
        trial=study.ask(),
    )
    values = (0.1, 0.5, 0.3)
    trainer = fit(values, callbacks=[callback], model=Twofold(values), **quiet_trainer)
    outcome = outcome_of(trainer)
    assert (outcome.best_epoch, outcome.values) == (1, [0.5, 6.0, 1.0])
    assert (outcome.pruned, outcome.n_epochs) == (None, 3)
    assert reported_by(study.trials[0]) == {0: 0.1, 1: 0.5, 2: 0.3}
    again = PruningCallback(monitor=["val/acc", "val/loss"], direction=["maximize", "minimize"])
    again.load_state_dict(callback.state_dict())
    assert again.further == {"val/loss": 6.0, "model/n_params": 1.0}


def test_each_objective_must_be_logged(quiet_trainer: dict[str, Any]) -> None:
    callback = PruningCallback(monitor=["val/acc", "val/f2"], direction=["maximize", "maximize"])
    with pytest.raises(ConfigError, match="'val/f2', which the model did not log at the end of its validation"):
        fit(RISING, callbacks=[callback], **quiet_trainer)
