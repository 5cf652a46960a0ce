"""Ties Lightning's epochs to the study: report, ask, stop."""

import logging
import math
import time
from typing import Any

import optuna
import pytorch_lightning as L
from pytorch_lightning.callbacks import Callback

from lightsweep.callbacks.pruning_reason import pruning_reason
from lightsweep.direction import Direction, is_better
from lightsweep.errors import ConfigError
from lightsweep.failures import Kind, TrialStoppedError
from lightsweep.model.objectives import check_suits_task
from lightsweep.trial.context import current_trial, pruner_settings, requeue_if_orphaned, stop_requested
from lightsweep.trial.driver import restore_sigterm_handler
from lightsweep.trial.time_limit import check_time

SECONDS_BETWEEN_LOOKS = 1.0

log = logging.getLogger(__name__)


class PruningCallback(Callback):
    """Reports the monitored metric after each validation epoch and ends the fit when the pruner says so.

    The fit ends cleanly: `fit` returns, loggers and checkpoints are finished as usual, and `pruned` holds the
    reason. It ends in the same way if the search was asked to stop (`interrupted`), and at the first value or loss
    that is not finite (`failed`, of `kind` diverged). After the last epoch nobody is asked: nothing is left to save,
    and a complete trial can still be the best. Several validations in one epoch are one report, of the best of them.
    Without a trial the callback only keeps the best value.

    Raises `ConfigError` if the model does not log `monitor`: before the fit if that is a metric of another task, else
    after the first validation.
    """

    looks_at_batches = False  # it looks at the clock, and half a second between two looks will do

    def __init__(self, *, monitor: str, direction: Direction, trial: optuna.Trial | None = None) -> None:
        self.monitor = monitor
        self.direction = direction
        self.trial = trial
        self.best_value: float | None = None
        self.best_epoch: int | None = None
        self.n_epochs = 0
        self.pruned: str | None = None
        self.interrupted = False
        self.failed: str | None = None
        self.kind: Kind | None = None
        self._epoch_value: float | None = None
        self._next_look_s = 0.0

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.trial = None  # a smoke test tells the study nothing
        elif stage == "fit" and self.trial is None:
            self.trial = current_trial()
        if stage == "fit":
            check_suits_task(self.monitor, pl_module)

    def on_train_start(self, *_: Any) -> None:
        if self.trial is not None:
            restore_sigterm_handler()

    def on_train_batch_end(self, *_: Any) -> None:
        self._look_up()

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        self._look_up()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking:
            return  # it runs before epoch 0 and would be reported as epoch 0
        if self.monitor not in trainer.callback_metrics:
            raise ConfigError(
                f"monitor is '{self.monitor}', which the model did not log in its validation."
                f" It logged: {', '.join(sorted(trainer.callback_metrics))}."
            )
        if self._has_diverged(trainer):
            return
        value = float(trainer.callback_metrics[self.monitor])
        if is_better(value, self.best_value, direction=self.direction):
            self.best_value, self.best_epoch = value, trainer.current_epoch
        if is_better(value, self._epoch_value, direction=self.direction):
            self._epoch_value = value

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.n_epochs = trainer.current_epoch + 1
        value, self._epoch_value = self._epoch_value, None
        if self._has_diverged(trainer) or self.trial is None:
            return
        reported = _reported(self.trial)
        repeated = trainer.current_epoch in reported  # by a trial that is run again
        if value is not None and not repeated:
            self.trial.report(value, step=trainer.current_epoch)
        if self.n_epochs == trainer.max_epochs:
            return
        if stop_requested():
            self.interrupted = True
            requeue_if_orphaned(self.trial)
            _stop(trainer)
            return
        if value is None:
            return  # no validation, and so nothing to judge
        if any(epoch > trainer.current_epoch for epoch in reported):
            return  # the pruner let it pass here before, and would now judge the latest epoch
        if self.trial.should_prune():
            self.pruned = pruning_reason(
                self.trial, epoch=trainer.current_epoch, monitor=self.monitor, settings=pruner_settings()
            )
            log.info("Pruned: %s", self.pruned)
            _stop(trainer)

    def _look_up(self) -> None:
        """Once a second: is the trial's time over, or the search's? What an unfinished epoch has done is dropped."""
        if self.trial is None or time.monotonic() < self._next_look_s:
            return
        self._next_look_s = time.monotonic() + SECONDS_BETWEEN_LOOKS
        check_time()
        if stop_requested(at_once=True):
            raise TrialStoppedError

    def _has_diverged(self, trainer: L.Trainer) -> bool:
        """Look at the losses too: of weights that are not numbers the accuracy is still one."""
        for name, value in trainer.callback_metrics.items():
            if (name == self.monitor or "loss" in name) and not math.isfinite(value) and self.failed is None:
                self.failed = f"{name} is {float(value)} at epoch {trainer.current_epoch}"
                self.kind = Kind.DIVERGED
                if name.endswith("auroc"):  # the losses come before it
                    self.failed += ": of no class are there both rows and others to tell them from"
                    self.kind = Kind.ERROR
                _stop(trainer)
        return self.failed is not None

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("best_value", "best_epoch", "n_epochs")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_value = state_dict["best_value"]
        self.best_epoch = state_dict["best_epoch"]
        self.n_epochs = state_dict["n_epochs"]


def _reported(trial: optuna.Trial) -> dict[int, float]:
    return trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values


def _stop(trainer: L.Trainer) -> None:
    trainer.should_stop = True
    # Lightning would go on until min_epochs and min_steps are reached.
    trainer.fit_loop.min_epochs = 0
    trainer.fit_loop.epoch_loop.min_steps = 0
