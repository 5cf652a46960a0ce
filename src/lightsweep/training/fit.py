"""What surrounds one training: the process's threads and noise before it, the outcome after it."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback, Checkpoint, EarlyStopping

from lightsweep.callbacks.pruning import PruningCallback
from lightsweep.errors import ConfigError, DiskFullError
from lightsweep.failures import (
    Kind,
    TrialStoppedError,
    disk_is_full,
    in_one_line,
    kind_of,
    save_traceback,
)
from lightsweep.files import shown, write_atomically, yaml_of
from lightsweep.trial.context import in_search
from lightsweep.trial.driver import begin_job
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.time_limit import limit_time

log = logging.getLogger(__name__)

CHOOSE_AN_EPOCH = (Checkpoint, EarlyStopping, PruningCallback)
RESULT = "result.yaml"
CHATTY_LOGGERS = ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.rank_zero")

LIGHTNING_REMARKS = (
    ".*isinstance.treespec, LeafSpec.* is deprecated",  # Lightning 2.6 calls what torch 2.13 has renamed
    ".*Found `dataloader_iter` argument in the `training_step`",  # a warning that the signature may change
    ".*GPU available but not used",  # trainer=cpu says so already
    ".*resuming from a checkpoint that ended before the epoch ended",  # it counts Lightning's steps, not batches
    ".*Checkpoint directory .* exists and is not empty",  # the trial was interrupted, and its files replace the former
)


def set_up_process(*, threads: int | None, verbose: bool, refit: bool = False) -> None:
    """Set torch's threads before it computes, and keep Lightning's remarks to itself unless `verbose`.

    In a search the time of the trial begins; a refit is not a trial, and has no limit.
    """
    logging.raiseExceptions = False  # a disk that takes no more is told once, and not at each line of the log
    if threads is not None:
        torch.set_num_threads(threads)
    if in_search():
        begin_job()
        limit_time(None if refit else HydraConfig.get().sweeper.trial_timeout)
    for name in CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)
    for message in LIGHTNING_REMARKS:
        warnings.filterwarnings("ignore", message=message)


@contextlib.contextmanager
def flush_denormals() -> Iterator[None]:
    """Let the CPU take numbers below 1e-38 for 0.

    What an optimizer remembers of the gradients of a unit that is off comes down to them, and never to 0; the CPU takes
    a hundred times as long for each, which makes a step by a quarter slower. It holds for the thread that trains, and
    those that it starts.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextlib.contextmanager
def close_runs(loggers: Sequence[Any]) -> Iterator[None]:
    """End the run of each logger that keeps one open beyond the fit (`end_run`), also if the training fails."""
    failed = True
    try:
        yield
        failed = False
    finally:
        for logger in loggers:
            if hasattr(logger, "end_run"):
                logger.end_run(failed=failed)


def trainer_arguments(callbacks: Sequence[Callback], *, refit: bool) -> dict[str, Any]:
    """What a trainer is given beside its config.

    A refit has no validation split to choose an epoch by, so it goes without the callbacks that choose one.
    """
    if not refit:
        return {"callbacks": callbacks}
    kept = [callback for callback in callbacks if not isinstance(callback, CHOOSE_AN_EPOCH)]
    return {"callbacks": kept, "limit_val_batches": 0, "enable_checkpointing": False}


def outcome_of(trainer: L.Trainer) -> Outcome:
    """Read the outcome of a finished fit and keep it as `result.yaml` in the run's folder.

    Outside a search it is printed too, and a fit that failed raises `ConfigError`.
    """
    watcher = next((c for c in trainer.callbacks if isinstance(c, PruningCallback)), None)  # type: ignore[attr-defined]
    if watcher is None:
        raise ConfigError(
            "callbacks.pruning is missing; it also keeps the best value of a run."
            " To search without pruning leave it there and say hydra/sweeper/pruner=none."
        )
    failed = watcher.failed
    if failed is None and watcher.best_value is None and not watcher.interrupted:
        failed = f"no validation ran, so {watcher.monitor} has no value; raise trainer.max_epochs or the data's size"
    outcome = Outcome(
        monitor=watcher.monitor,
        value=watcher.best_value,
        best_epoch=watcher.best_epoch,
        n_epochs=watcher.n_epochs,
        max_epochs=trainer.max_epochs or watcher.n_epochs,
        pruned=watcher.pruned,
        interrupted=watcher.interrupted,
        failed=failed,
        kind=failed and (watcher.kind or Kind.ERROR).value,
    )
    save_outcome(outcome)
    return outcome


def outcome_of_refit(*, monitor: str, n_epochs: int, test_metrics: dict[str, float]) -> Outcome:
    """Keep the outcome of a refit as `result.yaml`, and print it outside a search."""
    outcome = Outcome(
        monitor=monitor, value=None, best_epoch=None, n_epochs=n_epochs, max_epochs=n_epochs, test_metrics=test_metrics
    )
    save_outcome(outcome)
    return outcome


def outcome_of_failure(error: Exception, cfg: DictConfig) -> Outcome:
    """Turn what ended a trial's training into its outcome, and keep the traceback in the trial's folder.

    Raises `DiskFullError` if that was it: the next trial would not fare better.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    if disk_is_full(error, folder):
        raise DiskFullError(folder) from None
    outcome = Outcome(
        monitor=cfg.monitor, value=None, best_epoch=None, n_epochs=None, max_epochs=cfg.trainer.max_epochs
    )
    if isinstance(error, TrialStoppedError):
        outcome = replace(outcome, interrupted=True)
    else:
        told = save_traceback(error, folder)
        log.info("The training failed\n%s", told)  # as text: who keeps the record must not keep the model
        outcome = replace(outcome, failed=in_one_line(error), kind=kind_of(error).value)
    write_atomically(folder / RESULT, yaml_of(asdict(outcome)), durable=not in_search())
    return outcome


def save_outcome(outcome: Outcome) -> None:
    """Write `result.yaml`; outside a search print the closing line, or raise if the fit failed."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    write_atomically(folder / RESULT, yaml_of(asdict(outcome)), durable=not in_search())
    if in_search():
        return
    if outcome.failed:
        raise ConfigError(f"the training failed: {outcome.failed}. What it left is in {shown(folder)}")
    print(f"{outcome.summary()}, in {shown(folder)}")
