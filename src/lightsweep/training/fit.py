"""Set-up of the process before a training, and the outcome after it."""

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
from lightsweep.direction import listed
from lightsweep.errors import ConfigError, DiskFullError
from lightsweep.failures import (
    Kind,
    TrialStoppedError,
    full_disk,
    in_one_line,
    kind_of,
    save_traceback,
)
from lightsweep.files import shown, write_atomically, yaml_of
from lightsweep.model.objectives import n_params_of
from lightsweep.trial.context import in_search
from lightsweep.trial.driver import begin_job
from lightsweep.trial.outcome import Outcome, n_epochs_to_refit
from lightsweep.trial.time_limit import limit_time

log = logging.getLogger(__name__)

VALIDATION_CALLBACKS = (Checkpoint, EarlyStopping, PruningCallback)
RESULT = "result.yaml"
LIGHTNING_LOGGERS = ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.rank_zero")

IGNORED_WARNINGS = (
    ".*isinstance.treespec, LeafSpec.* is deprecated",  # Lightning 2.6 calls a function that torch 2.13 has renamed
    ".*Found `dataloader_iter` argument in the `training_step`",  # it says that the signature may change
    ".*GPU available but not used",  # the user chose trainer=cpu
    ".*The `srun` command is available on your system but is not used",  # a trial trains in one process
    ".*resuming from a checkpoint that ended before the epoch ended",  # not so: Lightning compares steps with batches
    ".*Checkpoint directory .* exists and is not empty",  # a resumed trial replaces its files
)


def set_up_process(*, threads: int | None, verbose: bool, refit: bool = False) -> None:
    """Set torch's threads and the filters of logs and warnings; `verbose` shows Lightning's messages.

    In a search this starts the trial's time limit. A refit is not a trial and has no limit.
    """
    logging.raiseExceptions = False  # or a full disk would print a traceback for each line of the log
    if threads is not None:
        torch.set_num_threads(threads)
    if in_search():
        begin_job()
        limit_time(None if refit else HydraConfig.get().sweeper.trial_timeout)
    for name in LIGHTNING_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)
    for message in IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)


@contextlib.contextmanager
def flush_denormals() -> Iterator[None]:
    """Let the CPU treat numbers below 1e-38 as 0, in this thread and those that it starts.

    An optimizer's averages of the gradients of an inactive unit decay to such numbers and never reach 0. The CPU takes
    a hundred times as long for each, which makes a step slower by a quarter.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def trainer_arguments(callbacks: Sequence[Callback], *, refit: bool) -> dict[str, Any]:
    """Return the trainer's arguments that depend on `refit`: without validation there are no callbacks that need it."""
    if not refit:
        return {"callbacks": callbacks}
    kept = [callback for callback in callbacks if not isinstance(callback, VALIDATION_CALLBACKS)]
    return {"callbacks": kept, "limit_val_batches": 0, "enable_checkpointing": False}


def outcome_of(trainer: L.Trainer) -> Outcome:
    """Return the outcome of a finished fit, which the pruning callback knows.

    Raises `ConfigError` if the trainer has no pruning callback.
    """
    pruning = next((c for c in trainer.callbacks if isinstance(c, PruningCallback)), None)  # type: ignore[attr-defined]
    if pruning is None:
        raise ConfigError(
            "callbacks.pruning is missing; it also records the best value of a run."
            " To search without pruning keep it and set hydra/sweeper/pruner=none."
        )
    failed = pruning.failed
    if failed is None and pruning.best_value is None and not pruning.interrupted:
        failed = (
            f"no validation ran, so {pruning.monitor} has no value; the training loader gave no batches, or fewer than"
            " its length says: give more rows, or a smaller data.batch_size"
        )
    return Outcome(
        monitor=pruning.monitor,
        value=pruning.best_value,
        best_epoch=pruning.best_epoch,
        further=pruning.further,
        n_epochs=pruning.n_epochs,
        max_epochs=trainer.max_epochs or pruning.n_epochs,
        refit_epochs=None if pruning.reports else _refit_epochs(pruning),
        n_params=n_params_of(trainer.lightning_module),
        pruned=pruning.pruned,
        interrupted=pruning.interrupted,
        failed=failed,
        kind=failed and (pruning.kind or Kind.ERROR).value,
    )


def _refit_epochs(pruning: PruningCallback) -> int | None:
    best_epoch = pruning.best_epoch
    return None if best_epoch is None else n_epochs_to_refit(pruning.values, best_epoch=best_epoch)


def outcome_of_error(error: BaseException, cfg: DictConfig) -> Outcome:
    """Return the outcome of a training that raised; a signal, or the end of the search, interrupts it."""
    outcome = Outcome(monitor=listed(cfg.monitor)[0], max_epochs=cfg.trainer.max_epochs)
    if isinstance(error, TrialStoppedError) or not isinstance(error, Exception):
        return replace(outcome, interrupted=True)
    return replace(outcome, failed=in_one_line(error), kind=kind_of(error).value)


def save_failure(error: Exception, cfg: DictConfig) -> Outcome:
    """Return, and save, the outcome of a trial whose training raised; save the traceback in the trial's folder too.

    Raises `DiskFullError` if the disk is full, because the next trial would fail as well.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    if path := full_disk(error, folder):
        raise DiskFullError(path) from None
    outcome = outcome_of_error(error, cfg)
    if outcome.failed:
        text = save_traceback(error, folder)
        log.info("The training failed\n%s", text)  # as text: a log record of the exception would keep the model alive
    return save_outcome(outcome)


def save_outcome(outcome: Outcome) -> Outcome:
    """Write `result.yaml` and return the outcome. Outside a search also print it, or raise if the fit failed."""
    folder = write_outcome(outcome)
    if not in_search():
        if outcome.failed:
            raise ConfigError(f"the training failed: {outcome.failed}. Its files are in {shown(folder)}")
        print(f"{outcome.summary()}, in {shown(folder)}")
    return outcome


def write_outcome(outcome: Outcome) -> Path:
    """Write `result.yaml` into the folder of the job, and return the folder."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    write_atomically(folder / RESULT, yaml_of(asdict(outcome)), durable=not in_search())
    return folder
