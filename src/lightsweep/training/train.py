"""One training. Imports torch and Lightning, and so is imported only where something is trained."""

from typing import Any

import pytorch_lightning as L
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from lightsweep.callbacks.last_checkpoint import checkpoint_to_resume
from lightsweep.callbacks.pruning import PruningCallback
from lightsweep.config.instantiate import build, instantiate_all
from lightsweep.config.resampling import n_folds_to_train
from lightsweep.direction import listed
from lightsweep.export.model_folder import evaluate_and_export
from lightsweep.logger.tracker import Tracker, csv_loggers, end_trackers, start_loggers
from lightsweep.model.construction import build_data_and_model
from lightsweep.training.data_lock import prepare_data_one_at_a_time
from lightsweep.training.environment import recorded_environment
from lightsweep.training.fit import (
    flush_denormals,
    outcome_of,
    outcome_of_error,
    save_outcome,
    set_up_process,
    trainer_arguments,
)
from lightsweep.training.folds import train_folds
from lightsweep.training.refit import refit
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.time_limit import lift_time_limit


def train(cfg: DictConfig) -> Outcome:
    """Train the model of the config and return the outcome; a refit is also tested and exported."""
    set_up_process(threads=cfg.threads, verbose=cfg.verbose, refit=cfg.refit)
    trackers: list[Tracker] = []
    try:
        outcome = _train_models(cfg, trackers)
    except BaseException as error:
        lift_time_limit()
        end_trackers(trackers, outcome_of_error(error, cfg))
        raise
    lift_time_limit()  # a slow tracker fails no trial that is complete
    try:
        return save_outcome(outcome)
    finally:
        end_trackers(trackers, outcome)


def _train_models(cfg: DictConfig, trackers: list[Tracker]) -> Outcome:
    """Train one model, or one on each fold; then the trackers show the values of the folds, and not those of epochs."""
    loggers = start_loggers(cfg, trackers)
    n_folds = n_folds_to_train(cfg)
    if n_folds == 1 or cfg.refit or cfg.trainer.get("fast_dev_run"):
        return _train(cfg, loggers)
    trackers_alone = [tracker.logger for tracker in trackers]
    return train_folds(cfg, n_folds=n_folds, train_fold=_train_fold, loggers=trackers_alone)


def _train_fold(cfg: DictConfig) -> Outcome:
    return _train(cfg, csv_loggers(cfg), reports=False)


def _train(cfg: DictConfig, loggers: list[Logger], *, reports: bool = True) -> Outcome:
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    data, model = build_data_and_model(cfg)
    prepare_data_one_at_a_time(data)
    callbacks = instantiate_all(cfg.callbacks, "callbacks")
    for callback in callbacks:
        if isinstance(callback, PruningCallback):
            callback.reports = reports
    trainer = build(cfg.trainer, "trainer", logger=loggers, **trainer_arguments(callbacks, refit=cfg.refit))
    with recorded_environment(cfg, trainer=trainer, data=data):
        return _fit(cfg, trainer=trainer, model=model, data=data)


def _fit(cfg: DictConfig, *, trainer: L.Trainer, model: L.LightningModule, data: Any) -> Outcome:
    if not cfg.refit:
        with flush_denormals():
            trainer.fit(model, datamodule=data, ckpt_path=checkpoint_to_resume(trainer), weights_only=True)
        return outcome_of(trainer)
    with flush_denormals():
        refitted = refit(cfg, trainer=trainer, model=model, data=data)
    evaluation = evaluate_and_export(
        refitted.cfg,
        trainer=trainer,
        model=refitted.model,
        data=refitted.data,
        trained_on=refitted.trained_on,
        n_rows=refitted.n_rows,
        refit_failed=refitted.failed,
    )
    return Outcome(
        monitor=listed(cfg.monitor)[0],
        n_epochs=refitted.n_epochs,
        max_epochs=refitted.n_epochs,
        test_metrics=evaluation.metrics,
        test_intervals=evaluation.intervals,
        trained_on=refitted.trained_on,
        refit_failed=refitted.failed,
    )
