"""Trackers: the loggers of a run besides its CSV file. They get its hyperparameters and outcome, and can't fail it."""

import logging
import math
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.utilities import rank_zero_only

from lightsweep.config.instantiate import build, locate_target
from lightsweep.errors import USER_ERRORS
from lightsweep.failures import TrialTimeoutError, in_one_line
from lightsweep.logger.run import Run, flat
from lightsweep.storage.password import masked_in
from lightsweep.trial.notices import is_first
from lightsweep.trial.outcome import Outcome

GUARDED = ("log_metrics", "log_graph", "save", "after_save_checkpoint", "finalize")  # what Lightning calls
MAX_REASON = 500
# A training waits half a minute for a server, unless the user has set these variables. By itself MLflow would wait for
# minutes in each trial, Weights & Biases without end.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "WANDB_INIT_TIMEOUT": "10",
    "WANDB_FINISH_TIMEOUT": "30",
}

log = logging.getLogger(__name__)


def start_loggers(cfg: DictConfig) -> tuple[list[Logger], list["Tracker"]]:
    """Build the loggers of a run. All are trackers but the CSV files, which lie beside the config and the result.

    A dry run has a logger that does nothing. If several processes train one model, the first has the trackers.
    """
    if cfg.trainer.get("fast_dev_run"):
        return [DummyLogger()], []
    nodes = {f"logger.{name}": node for name, node in (cfg.get("logger") or {}).items() if node is not None}
    kinds = {key: _kind(node, key) for key, node in nodes.items()}
    is_first_process = rank_zero_only.rank == 0  # type: ignore[attr-defined]
    if not is_first_process or all(issubclass(kind, CSVLogger) for kind in kinds.values()):
        return [build(node, key) for key, node in nodes.items()], []
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    run = Run.of_job(cfg)
    loggers, trackers = [], []
    for key, node in nodes.items():
        if issubclass(kinds[key], CSVLogger):
            loggers.append(build(node, key))
        else:
            trackers.append(Tracker(node, key, kind=kinds[key], run=run))
            loggers.append(trackers[-1].logger)
    return loggers, trackers


def end_trackers(trackers: Sequence["Tracker"], outcome: Outcome) -> None:
    for tracker in trackers:
        tracker.end(outcome)


def _kind(node: DictConfig, key: str) -> type:
    target = locate_target(node, key)
    return target if isinstance(target, type) else Logger


class Tracker:
    """One logger, which is not called any more once it has raised; the first time in a search a warning says so.

    `logger` keeps its class, for which modules and callbacks ask, so the instance gets guarded methods; one that can't
    be started does nothing. What a module does with `logger.experiment` is not guarded.
    """

    def __init__(self, node: DictConfig, key: str, *, kind: type, run: Run) -> None:
        self.node = node
        self.key = key
        self.kind = kind
        self.hyperparameters = self._named(run.hyperparameters)
        self.is_down = False
        self.logger: Logger = self.attempt(self._start, run) or DummyLogger()
        self._log_hyperparams = self.logger.log_hyperparams
        self._guard()

    def attempt(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function of the logger unless it is down. Return None if it raises; then the logger is down."""
        if self.is_down:
            return None
        try:
            return call(*args, **kwargs)
        except (*USER_ERRORS, TrialTimeoutError):
            raise
        except Exception as error:  # noqa: BLE001  (each tracker has its own)
            self.is_down = True
            self._warn(error)
            return None

    def end(self, outcome: Outcome) -> None:
        """Log the outcome and end the run, also of a training that failed."""
        self.attempt(self._log_outcome, outcome)
        if issubclass(self.kind, WandbLogger):
            self.is_down = False  # or the next training in this process would log to the same run
            self.attempt(_finish_wandb, failed=outcome.status not in ("complete", "pruned"))

    def _start(self, run: Run) -> Logger:
        with self._opening(run) as arguments:
            logger = build(self.node, self.key, **arguments)
            assert isinstance(logger, Logger)
            logger.log_hyperparams(self.hyperparameters)
        return logger

    def _opening(self, run: Run) -> AbstractContextManager[dict[str, Any]]:
        """Return the arguments that name and group the run; what the config sets has priority."""
        arguments: dict[str, Any] = {}
        if issubclass(self.kind, MLFlowLogger):
            from lightsweep.logger.mlflow import opening

            return opening(self.node, run)
        if issubclass(self.kind, WandbLogger):
            arguments = {"name": run.name, "group": run.group, "job_type": run.about.get("job")}
            arguments |= {"resume": "auto"} if run.is_trial else {}  # by a file in the folder of the trial
        elif issubclass(self.kind, TensorBoardLogger):
            arguments = {"default_hp_metric": False}  # it would be -1
        return nullcontext({name: value for name, value in arguments.items() if self.node.get(name) is None})

    def _guard(self) -> None:
        for name in GUARDED:
            setattr(self.logger, name, partial(self.attempt, getattr(self.logger, name)))
        setattr(self.logger, "log_hyperparams", self._log_more)  # noqa: B010

    def _log_more(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Log what a module saves by `save_hyperparameters`; a name of the config keeps the value of the config.

        All are logged, because TensorBoard shows only what is logged first.
        """
        given = self._named(flat(vars(params) if isinstance(params, Namespace) else params))
        self.hyperparameters = {**self.hyperparameters, **given, **self.hyperparameters}
        self.attempt(self._log_hyperparams, self.hyperparameters, *args, **kwargs)

    def _named(self, params: Mapping[str, Any]) -> dict[str, Any]:
        if not issubclass(self.kind, MLFlowLogger):
            return dict(params)
        from lightsweep.logger.mlflow import as_names

        return as_names(params)

    def _log_outcome(self, outcome: Outcome) -> None:
        end = {"state": outcome.status, "reason": outcome.reason}
        value = {} if outcome.value is None else {"value": outcome.value}
        match self.logger:
            case MLFlowLogger():
                from lightsweep.logger.mlflow import log_outcome

                log_outcome(self.logger, outcome)
            case WandbLogger():
                self.logger.experiment.summary.update({**end, **value})
            case TensorBoardLogger():
                metric = math.nan if outcome.value is None else outcome.value
                self._log_hyperparams({**self.hyperparameters, **end}, outcome.test_metrics or {"hp_metric": metric})
                self.logger.finalize("success")
            case _:
                self._log_hyperparams({**end, **value})
                self.logger.save()

    def _warn(self, error: Exception) -> None:
        reason = in_one_line(error)
        for value in self.node.values():
            reason = masked_in(reason, str(value))
        message = f"{self.key} is down; trainings go on without it: {reason[:MAX_REASON]}"
        log.info(message)
        if is_first(f"{self.key}.down"):
            print(f"warning: {message}", file=sys.stderr, flush=True)


def _finish_wandb(*, failed: bool) -> None:
    import wandb

    if wandb.run is not None:
        wandb.finish(exit_code=1 if failed else 0)
