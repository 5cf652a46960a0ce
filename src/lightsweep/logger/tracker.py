"""Trackers: the loggers of a run besides its CSV file. They get its hyperparameters and outcome, and can't fail it."""

import math
import re
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.utilities import rank_zero_only

from lightsweep.config.instantiate import build, locate_target
from lightsweep.errors import USER_ERRORS
from lightsweep.failures import TrialTimeoutError
from lightsweep.logger.run import Run, flat
from lightsweep.logger.servers import limit_waiting, warn_of
from lightsweep.trial.outcome import Outcome

GUARDED = ("log_metrics", "log_graph", "save", "after_save_checkpoint", "finalize")  # what Lightning calls
MAX_NAME = 250  # of a param in MLflow


def start_loggers(cfg: DictConfig, trackers: list["Tracker"]) -> list[Logger]:
    """Build the loggers of a run. All are trackers but the CSV files, which lie beside the config and the result.

    Each tracker is added to `trackers` before it starts, so that the caller can end it if something raises. A dry run
    has a logger that does nothing. If several processes train one model, the first has the trackers.
    """
    if cfg.trainer.get("fast_dev_run"):
        return [DummyLogger()]
    nodes = _nodes(cfg)
    kinds = {key: _kind(node, key) for key, node in nodes.items()}
    is_first_process = rank_zero_only.rank == 0  # type: ignore[attr-defined]
    if not is_first_process or all(issubclass(kind, CSVLogger) for kind in kinds.values()):
        return [build(node, key) for key, node in nodes.items()]
    limit_waiting()
    run = Run.of_job(cfg)
    loggers = []
    for key, node in nodes.items():
        if issubclass(kinds[key], CSVLogger):
            loggers.append(build(node, key))
        else:
            tracker = Tracker(node, key, kind=kinds[key], run=run)
            trackers.append(tracker)
            loggers.append(tracker.start())
    return loggers


def csv_loggers(cfg: DictConfig) -> list[Logger]:
    """Build the loggers that write a CSV file."""
    return [build(node, key) for key, node in _nodes(cfg).items() if issubclass(_kind(node, key), CSVLogger)]


def _nodes(cfg: DictConfig) -> dict[str, DictConfig]:
    return {f"logger.{name}": node for name, node in (cfg.get("logger") or {}).items() if node is not None}


def end_trackers(trackers: Sequence["Tracker"], outcome: Outcome) -> None:
    """End each tracker, also if another one raises."""
    with ExitStack() as stack:
        for tracker in reversed(trackers):
            stack.callback(tracker.end, outcome)


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
        self.run = run
        self.hyperparameters = self._named(run.hyperparameters)
        self.is_down = False
        self.logger: Logger = DummyLogger()
        self._log_hyperparams: Callable[..., None] = self.logger.log_hyperparams

    def start(self) -> Logger:
        """Build the logger, log the hyperparameters, and return the logger. Raise errors of its config."""
        try:
            self._start()
        except (*USER_ERRORS, TrialTimeoutError):
            raise
        except Exception as error:  # noqa: BLE001  (each tracker has its own)
            self._go_down(error)
            self.logger = DummyLogger()
        self._guard()
        return self.logger

    def attempt(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function of the logger unless it is down. Return None if it raises; then the logger is down."""
        if self.is_down:
            return None
        try:
            return call(*args, **kwargs)
        except TrialTimeoutError:
            raise
        except Exception as error:  # noqa: BLE001  (each tracker has its own)
            self._go_down(error)
            return None

    def end(self, outcome: Outcome) -> None:
        """Log the outcome and end the run, also of a training that failed."""
        self.attempt(self._log_outcome, outcome)
        if issubclass(self.kind, WandbLogger):
            self.is_down = False  # or the next training in this process would log to the same run
            self.attempt(_finish_wandb, failed=outcome.status not in ("complete", "pruned"))

    def _go_down(self, error: Exception) -> None:
        self.is_down = True
        warn_of(error, key=self.key, node=self.node)

    def _start(self) -> None:
        with self._opening(self.run) as arguments:
            self.logger = build(self.node, self.key, **arguments)
            assert isinstance(self.logger, Logger)
            self._log_hyperparams = self.logger.log_hyperparams
            if isinstance(self.logger, MLFlowLogger):
                self._log_hyperparams = partial(_log_new, self.logger, log=self.logger.log_hyperparams)
            self._log_hyperparams(self.hyperparameters)

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
        """Return the parameters with names that the logger accepts."""
        if not issubclass(self.kind, MLFlowLogger):
            return dict(params)
        return {re.sub(r"[^\w.\- :/]", "_", name)[:MAX_NAME]: value for name, value in params.items()}

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


def _log_new(logger: MLFlowLogger, params: dict[str, Any], *, log: Callable[..., None]) -> None:
    from lightsweep.logger.mlflow import without_logged

    log(without_logged(logger, params))


def _finish_wandb(*, failed: bool) -> None:
    import wandb

    if wandb.run is not None:
        wandb.finish(exit_code=1 if failed else 0)
