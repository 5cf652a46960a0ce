"""Trains one model as the config says; with `-m hparams_search=mlp` it is called once per trial of a search."""

import hydra
from omegaconf import DictConfig

from lightsweep.app import failures_are_told, run_app
from lightsweep.checks import check_config
from lightsweep.outcome import Outcome
from lightsweep.trust import TRUSTED_TARGETS


@hydra.main(config_path="conf", config_name="train", execution_whitelist=TRUSTED_TARGETS)
@failures_are_told
def main(cfg: DictConfig) -> Outcome:
    check_config(cfg)  # before the seconds that torch takes to import

    from lightsweep.lightning import L  # first: the others import it, too, and slower

    # isort: split
    from lightsweep.build import build, build_all
    from lightsweep.callbacks.last_checkpoint import checkpoint_to_continue
    from lightsweep.facts import build_model
    from lightsweep.fitting import outcome_of, set_up_process, trainer_arguments, without_denormals
    from lightsweep.shipping import ship

    set_up_process(threads=cfg.threads, verbose=cfg.verbose, refit=cfg.refit)
    L.seed_everything(cfg.seed, workers=True, verbose=False)

    data = build(cfg.data)
    model = build_model(cfg.model, data=data, optimizer=cfg.get("optimizer") and build(cfg.optimizer))
    arguments = trainer_arguments(build_all(cfg.callbacks), refit=cfg.refit)
    trainer = build(cfg.trainer, logger=build_all(cfg.logger), **arguments)

    with without_denormals():
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint_to_continue(trainer), weights_only=True)
    if cfg.refit:
        return ship(cfg, trainer=trainer, model=model, data=data)
    return outcome_of(trainer)


if __name__ == "__main__":
    run_app(main)
