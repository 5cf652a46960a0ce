"""Trains one model as the config says; with `-m hparams_search=mlp` it is called once per trial of a search."""

import hydra
from omegaconf import DictConfig

from lightsweep.cli.app import gc_paused, handle_failures, run_app
from lightsweep.config.targets import ALLOWED_TARGETS
from lightsweep.config.validation import check_config
from lightsweep.trial.outcome import Outcome


@hydra.main(config_path="conf", config_name="train", execution_whitelist=ALLOWED_TARGETS)
@handle_failures
def main(cfg: DictConfig) -> Outcome:
    check_config(cfg)  # before the seconds that torch takes to import

    with gc_paused():
        from lightsweep.training.train import train

    return train(cfg)


if __name__ == "__main__":
    run_app(main)
