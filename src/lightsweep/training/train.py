"""One training, as the config describes it. Imports torch, and so is imported only where something is trained."""

import pytorch_lightning as L
from omegaconf import DictConfig

from lightsweep.callbacks.last_checkpoint import checkpoint_to_continue
from lightsweep.config.instantiate import build, instantiate_all
from lightsweep.export.model_folder import evaluate_and_export
from lightsweep.model.construction import build_model
from lightsweep.training.fit import (
    close_runs,
    flush_denormals,
    outcome_of,
    outcome_of_refit,
    set_up_process,
    trainer_arguments,
)
from lightsweep.trial.outcome import Outcome


def train(cfg: DictConfig) -> Outcome:
    """Build what the config names, fit the model, and say what became of it; a refit is evaluated and shipped."""
    set_up_process(threads=cfg.threads, verbose=cfg.verbose, refit=cfg.refit)
    L.seed_everything(cfg.seed, workers=True, verbose=False)

    data = build(cfg.data, "data")
    model = build_model(cfg.model, data=data, optimizer=cfg.get("optimizer") and build(cfg.optimizer, "optimizer"))
    arguments = trainer_arguments(instantiate_all(cfg.callbacks, "callbacks"), refit=cfg.refit)
    loggers = instantiate_all(cfg.logger, "logger")
    trainer = build(cfg.trainer, "trainer", logger=loggers, **arguments)

    with close_runs(loggers):
        with flush_denormals():
            trainer.fit(model, datamodule=data, ckpt_path=checkpoint_to_continue(trainer), weights_only=True)
        if cfg.refit:
            n_epochs = trainer.current_epoch
            metrics = evaluate_and_export(cfg, trainer=trainer, model=model, data=data)
            return outcome_of_refit(monitor=cfg.monitor, n_epochs=n_epochs, test_metrics=metrics)
        return outcome_of(trainer)
