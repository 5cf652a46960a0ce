"""Reports each epoch to the study, and stops the fit if the pruner says so."""

import math
import time
from collections.abc import Collection, Mapping
from typing import Any

import optuna
import pytorch_lightning as L
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lightsweep.callbacks.pruning_decision import reason_to_prune, report_once
from lightsweep.direction import N_PARAMS, Direction, Directions, Monitor, is_better, listed
from lightsweep.errors import ConfigError
from lightsweep.failures import Kind, TrialStoppedError
from lightsweep.model.objectives import check_monitor, n_params_of
from lightsweep.trial.context import current_trial, folder_of_search
from lightsweep.trial.driver import restore_sigterm_handler
from lightsweep.trial.status import SECONDS_PER_EPOCH
from lightsweep.trial.stop import StopCheck
from lightsweep.trial.time_limit import check_time

SECONDS_BETWEEN_CHECKS = 1.0
RESUMED = ("best_value", "best_epoch", "further", "n_epochs", "values")  # attributes kept in a checkpoint


class PruningCallback(Callback):
    """Reports the monitored metric after each epoch with a validation, and ends the fit if the pruner says so.

    Then `fit` returns, loggers and checkpoints are finished as usual, and `pruned` holds the reason. The fit ends in
    the same way if the search was asked to stop (`interrupted`), and at the first monitored value or loss that is not
    finite (`failed`, of `kind` diverged). The pruner is not asked after the last epoch: that would save no time, and a
    complete trial can be the best one. Of several validations in one epoch only the best value is reported.
    Without a trial the callback only records the values. It also does if `reports` is False: of one fold of several.

    Of several objectives the first one is reported and decides which epoch is the best; `further` holds the values of
    the others there. They are not pruned, because Optuna can't.

    A value counts only if the validation logged it at its end. `trainer.callback_metrics` also holds values of training
    and of earlier validations.

    Raises `ConfigError` if no validation would run. It also does if the model does not log `monitor` so: before the fit
    if that is a metric of another task, else after the first validation.
    """

    needs_every_batch = False  # it checks the clock; every half second is often enough

    def __init__(self, *, monitor: Monitor, direction: Directions, trial: optuna.Trial | None = None) -> None:
        self.monitor: str
        self.monitor, *self._others = listed(monitor)
        self.direction: Direction = listed(direction)[0]
        self.trial = trial
        self.best_value: float | None = None
        self.best_epoch: int | None = None
        self.further: dict[str, float] = {}
        self.n_epochs = 0
        self.values: dict[int, float] = {}
        self.reports = True
        self.pruned: str | None = None
        self.interrupted = False
        self.failed: str | None = None
        self.kind: Kind | None = None
        self._epoch_value: float | None = None
        self._metrics_before: dict[str, Tensor] = {}
        self._next_check_s = 0.0
        self._start_s = 0.0  # of this fit, which began with `_first_epoch`
        self._first_epoch = 0
        self._stop_check: StopCheck | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.trial = None  # a dry run does not report
        elif stage == "fit" and self.trial is None:
            device = trainer.strategy.root_device
            self.trial = current_trial(device=device.type, index=device.index)
        if self.trial is not None and (folder := folder_of_search()):
            self._stop_check = StopCheck(self.trial, folder)
        if stage == "fit":
            for name in (self.monitor, *self._others):
                check_monitor(name, pl_module)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if reason := _why_no_validation(trainer):
            raise ConfigError(f"no validation would run, so {self.monitor} would have no value: {reason}.")
        if self.trial is not None:
            restore_sigterm_handler()
        self._start_s, self._first_epoch = time.monotonic(), trainer.current_epoch

    def on_train_batch_end(self, *_: Any) -> None:
        self._check_limits()

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        self._check_limits()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._metrics_before = dict(trainer.callback_metrics)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking:
            return  # it runs before epoch 0, and would be reported as epoch 0
        # Lightning puts a new tensor there for each metric that this validation logged for its epoch.
        before, now = self._metrics_before, trainer.callback_metrics
        logged: dict[str, Any] = {name: value for name, value in now.items() if value is not before.get(name)}
        if N_PARAMS in self._others:
            logged[N_PARAMS] = n_params_of(pl_module)
        names = [self.monitor, *self._others]
        if missing := [name for name in names if name not in logged]:
            if self.best_value is None:
                raise ConfigError(_not_logged(missing[0], logged))
            return  # the model logs it in some validations only
        values = {name: float(logged[name]) for name in names}
        if self._has_failed(trainer, values=values):
            return
        value = values.pop(self.monitor)
        if is_better(value, self.best_value, direction=self.direction):
            self.best_value, self.best_epoch, self.further = value, trainer.current_epoch, values
        if is_better(value, self._epoch_value, direction=self.direction):
            self._epoch_value = value

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.n_epochs = trainer.current_epoch + 1
        value, self._epoch_value = self._epoch_value, None
        if value is not None:
            self.values[trainer.current_epoch] = value
        if self._has_failed(trainer) or self.trial is None:
            return
        is_latest = False
        if value is not None and self.reports:
            is_latest = report_once(self.trial, value, step=trainer.current_epoch)
        if self.n_epochs == trainer.max_epochs:
            return
        if self._stop_check and self._stop_check.requested():
            self.interrupted = True
            self._stop_check.requeue_if_orphaned()
            stop_fit(trainer)
        elif value is not None and is_latest and not self._others:
            self.pruned = reason_to_prune(self.trial, step=trainer.current_epoch, value=value, monitor=self.monitor)
            if self.pruned:
                seconds = (time.monotonic() - self._start_s) / (self.n_epochs - self._first_epoch)
                self.trial.set_user_attr(SECONDS_PER_EPOCH, seconds)
                stop_fit(trainer)

    def _check_limits(self) -> None:
        """Once a second, raise if the time of the trial or of the search is over; the unfinished epoch is lost."""
        if self.trial is None or time.monotonic() < self._next_check_s:
            return
        self._next_check_s = time.monotonic() + SECONDS_BETWEEN_CHECKS
        check_time()
        if self._stop_check and self._stop_check.requested(at_once=True):
            raise TrialStoppedError

    def _has_failed(self, trainer: L.Trainer, *, values: Mapping[str, float] | None = None) -> bool:
        """Stop at a loss or a monitored value that is not finite; accuracy stays finite even if the weights are NaN."""
        judged = {name: float(metric) for name, metric in trainer.callback_metrics.items() if "loss" in name}
        judged |= values or {}
        for name, number in judged.items():
            if not math.isfinite(number) and self.failed is None:
                self.failed = f"{name} is {number} at epoch {trainer.current_epoch}"
                self.kind = Kind.DIVERGED
                if name.endswith("auroc"):  # the weights are finite: losses are logged, and checked, first
                    self.failed += ": all validation rows are of one class"
                    self.kind = Kind.ERROR
                stop_fit(trainer)
        return self.failed is not None

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in RESUMED}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name in RESUMED:
            setattr(self, name, state_dict.get(name, getattr(self, name)))  # an earlier version saved fewer


def _why_no_validation(trainer: L.Trainer) -> str | None:
    every, max_epochs = trainer.check_val_every_n_epoch, trainer.max_epochs
    if trainer.limit_val_batches == 0:
        return "trainer.limit_val_batches is 0"
    if not trainer.enable_validation:
        return "the data module has no val_dataloader, or the model no validation_step"
    if trainer.val_dataloaders is not None and not sum(trainer.num_val_batches):
        return "the validation loader gives no batches"
    if every is not None and max_epochs is not None and 0 <= max_epochs < every:
        return f"trainer.check_val_every_n_epoch is {every}, but trainer.max_epochs is {max_epochs}"
    return None


def _not_logged(monitor: str, logged: Collection[str]) -> str:
    return (
        f"monitor is '{monitor}', which the model did not log at the end of its validation."
        f" It logged: {', '.join(sorted(logged)) or 'nothing'}."
        f" Set monitor to such a metric, or log this one in validation_step: self.log('{monitor}', ..., on_epoch=True)."
    )


def stop_fit(trainer: L.Trainer) -> None:
    """End the fit after this epoch."""
    trainer.should_stop = True
    # Lightning would continue until min_epochs and min_steps are reached.
    trainer.fit_loop.min_epochs = 0
    trainer.fit_loop.epoch_loop.min_steps = 0
