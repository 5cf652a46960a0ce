"""`data.resampling=kfold`: one training fits a model on each fold in turn, and its value is the mean of theirs.

The value of a trial then depends less on which rows happen to be for validation. A fold is a step for the pruner.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from optuna.pruners import WilcoxonPruner
from pytorch_lightning.loggers import Logger

from lightsweep.callbacks.pruning_decision import reason_to_prune, report_once, reported_so_far
from lightsweep.config.resampling import fold_folder, settings_of_fold
from lightsweep.direction import listed
from lightsweep.files import write_atomically
from lightsweep.training.environment import CONFIG_FILE
from lightsweep.training.fit import RESULT, outcome_of_error, write_outcome
from lightsweep.training.recorded import HYDRA_FILE, read_outcome
from lightsweep.trial.context import job_trial
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.status import N_FOLDS, SECONDS_PER_EPOCH


def train_folds(
    cfg: DictConfig, *, n_folds: int, train_fold: Callable[[DictConfig], Outcome], loggers: Sequence[Logger]
) -> Outcome:
    """Train the folds, each in a folder of its own, and report to the study and the loggers after each.

    Folds that an earlier run of this trial finished are not trained again. The pruner gets the mean of the folds so
    far; Optuna's `WilcoxonPruner`, which compares fold by fold, gets the value of each.
    """
    trial, monitor = job_trial(), listed(cfg.monitor)[0]
    if trial is not None:
        trial.set_user_attr(N_FOLDS, n_folds)
    outcomes: list[Outcome] = []
    pruned = None
    start, n_epochs = time.monotonic(), 0
    for fold in range(n_folds):
        finished = _finished(trial, fold)
        outcomes.append(finished or _train(cfg, fold, train_fold=train_fold))
        n_epochs += 0 if finished else outcomes[-1].n_epochs or 0
        if outcomes[-1].failed or outcomes[-1].interrupted:
            break
        values = [outcome.value for outcome in outcomes if outcome.value is not None]
        mean = statistics.fmean(values)
        for logger in loggers:
            logger.log_metrics({monitor: mean, f"{monitor}_of_fold": values[-1]}, step=fold)
        is_last = fold == n_folds - 1
        pruned = _judge(trial, values[-1], mean=mean, fold=fold, monitor=monitor, is_last=is_last)
        if pruned and trial is not None and n_epochs:
            trial.set_user_attr(SECONDS_PER_EPOCH, (time.monotonic() - start) / n_epochs)
        if pruned:
            break
    return _together(outcomes, n_folds=n_folds, pruned=pruned)


def _finished(trial: optuna.Trial | None, fold: int) -> Outcome | None:
    """Return the outcome of a fold that an earlier run of this trial has reported."""
    folder = fold_folder(_folder(), fold)
    if trial is None or fold not in reported_so_far(trial) or not (folder / RESULT).is_file():
        return None
    return read_outcome(folder)


def _train(cfg: DictConfig, fold: int, *, train_fold: Callable[[DictConfig], Outcome]) -> Outcome:
    """Train one fold, and write its result also if it fails."""
    with _job_of_fold(cfg, fold) as cfg_of_fold:
        try:
            outcome = train_fold(cfg_of_fold)
        except Exception as error:
            write_outcome(outcome_of_error(error, cfg))
            raise
        write_outcome(outcome)
    if outcome.failed:
        return replace(outcome, failed=f"fold {fold}: {outcome.failed}")
    return outcome


@contextmanager
def _job_of_fold(cfg: DictConfig, fold: int) -> Iterator[DictConfig]:
    """Yield the config of the fold, whose folder is the job's output folder in the block.

    Config and settings of Hydra are written there, so that `lightsweep.reproduce` can train the fold alone.
    """
    before, folder = _folder(), fold_folder(_folder(), fold)
    cfg_of_fold = cfg.copy()
    with open_dict(cfg_of_fold):
        cfg_of_fold.data.update(settings_of_fold(fold))
    _use(folder)
    (folder / CONFIG_FILE).parent.mkdir(parents=True, exist_ok=True)
    for name, content in ((CONFIG_FILE, cfg_of_fold), (HYDRA_FILE, HydraConfig.instance().cfg)):
        write_atomically(folder / name, OmegaConf.to_yaml(content), durable=False)
    try:
        yield cfg_of_fold
    finally:
        _use(before)


def _use(folder: Path) -> None:
    hydra_cfg: Any = HydraConfig.get()
    with read_write(hydra_cfg):
        hydra_cfg.runtime.output_dir = str(folder)


def _folder() -> Path:
    return Path(HydraConfig.get().runtime.output_dir)


def _judge(
    trial: optuna.Trial | None, value: float, *, mean: float, fold: int, monitor: str, is_last: bool
) -> str | None:
    """Report the fold, and return the reason if the trial is pruned after it."""
    if trial is None:
        return None
    reported = value if isinstance(trial.study.pruner, WilcoxonPruner) else mean
    is_latest = report_once(trial, reported, step=fold)
    if is_last or not is_latest or len(trial.study.directions) > 1:
        return None
    return reason_to_prune(trial, step=fold, value=reported, monitor=monitor, unit="fold")


def _together(outcomes: Sequence[Outcome], *, n_folds: int, pruned: str | None) -> Outcome:
    """Return the outcome of the folds; the last one says how it ended."""
    last = outcomes[-1]
    values = [outcome.value for outcome in outcomes if outcome.value is not None]
    epochs = [outcome.refit_epochs for outcome in outcomes if outcome.refit_epochs is not None]
    return replace(
        last,
        value=statistics.fmean(values) if values else None,
        best_epoch=None,
        further={name: statistics.fmean(outcome.further[name] for outcome in outcomes) for name in last.further},
        n_epochs=sum(outcome.n_epochs or 0 for outcome in outcomes),
        max_epochs=n_folds * (last.max_epochs or 0),
        pruned=pruned,
        fold_values=values,
        refit_epochs=round(statistics.median(epochs)) if epochs else None,
    )
