"""One training. Imports torch and Lightning, and so is imported only where something is trained."""

import pytorch_lightning as L
from omegaconf import DictConfig

from lightsweep.callbacks.last_checkpoint import checkpoint_to_resume
from lightsweep.config.instantiate import build, instantiate_all
from lightsweep.export.model_folder import evaluate_and_export
from lightsweep.model.construction import build_model
from lightsweep.training.fit import (
    end_runs,
    flush_denormals,
    outcome_of,
    save_outcome,
    set_up_process,
    trainer_arguments,
)
from lightsweep.trial.outcome import Outcome


def train(cfg: DictConfig) -> Outcome:
    """Train the model of the config and return the outcome; a refit is also tested and exported."""
    set_up_process(threads=cfg.threads, verbose=cfg.verbose, refit=cfg.refit)
    L.seed_everything(cfg.seed, workers=True, verbose=False)

    data = build(cfg.data, "data")
    optimizer = build(cfg.optimizer, "optimizer") if cfg.get("optimizer") else None
    model = build_model(cfg.model, data=data, optimizer=optimizer)
    callbacks = instantiate_all(cfg.callbacks, "callbacks")
    loggers = instantiate_all(cfg.logger, "logger")
    trainer = build(cfg.trainer, "trainer", logger=loggers, **trainer_arguments(callbacks, refit=cfg.refit))

    with end_runs(loggers):
        with flush_denormals():
            trainer.fit(model, datamodule=data, ckpt_path=checkpoint_to_resume(trainer), weights_only=True)
        if not cfg.refit:
            return save_outcome(outcome_of(trainer))
        n_epochs = trainer.current_epoch
        metrics = evaluate_and_export(cfg, trainer=trainer, model=model, data=data)
        return save_outcome(Outcome(monitor=cfg.monitor, n_epochs=n_epochs, max_epochs=n_epochs, test_metrics=metrics))
