"""Trains one model as the config says; with `-m hparams_search=mlp` it is called once per trial of a search."""

import hydra
from omegaconf import DictConfig

from lightsweep.app import failures_are_told, run_app, without_collections
from lightsweep.checks import check_config
from lightsweep.outcome import Outcome
from lightsweep.trust import TRUSTED_TARGETS


@hydra.main(config_path="conf", config_name="train", execution_whitelist=TRUSTED_TARGETS)
@failures_are_told
def main(cfg: DictConfig) -> Outcome:
    check_config(cfg)  # before the seconds that torch takes to import

    with without_collections():
        from lightsweep.training import train

    return train(cfg)


if __name__ == "__main__":
    run_app(main)
