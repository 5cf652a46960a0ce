"""One training, as the config describes it. Imports torch, and so is imported only where something is trained."""

import pytorch_lightning as L
from omegaconf import DictConfig

from lightsweep.build import build, build_all
from lightsweep.callbacks.last_checkpoint import checkpoint_to_continue
from lightsweep.facts import build_model
from lightsweep.fitting import outcome_of, runs_ended, set_up_process, trainer_arguments, without_denormals
from lightsweep.outcome import Outcome
from lightsweep.shipping import ship


def train(cfg: DictConfig) -> Outcome:
    """Build what the config names, fit the model, and say what became of it; a refit is evaluated and shipped."""
    set_up_process(threads=cfg.threads, verbose=cfg.verbose, refit=cfg.refit)
    L.seed_everything(cfg.seed, workers=True, verbose=False)

    data = build(cfg.data, "data")
    model = build_model(cfg.model, data=data, optimizer=cfg.get("optimizer") and build(cfg.optimizer, "optimizer"))
    arguments = trainer_arguments(build_all(cfg.callbacks, "callbacks"), refit=cfg.refit)
    loggers = build_all(cfg.logger, "logger")
    trainer = build(cfg.trainer, "trainer", logger=loggers, **arguments)

    with runs_ended(loggers):
        with without_denormals():
            trainer.fit(model, datamodule=data, ckpt_path=checkpoint_to_continue(trainer), weights_only=True)
        if cfg.refit:
            return ship(cfg, trainer=trainer, model=model, data=data)
        return outcome_of(trainer)
