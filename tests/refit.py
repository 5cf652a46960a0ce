"""`python train.py refit=true`, run in the process of the tests."""

from pathlib import Path

import hydra.utils
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict

from lightsweep.config.targets import ALLOWED_TARGETS
from lightsweep.trial.outcome import Outcome
from tests.conftest import CONF
from train import main


def refit(folder: Path, *overrides: str) -> Outcome:
    """Train with these overrides, and export into `folder`."""
    settings = ["refit=true", "verbose=false", "trainer=cpu", "logger.csv=null", "threads=1", *overrides]
    with initialize_config_dir(config_dir=str(CONF)):
        cfg = compose("train", overrides=settings, return_hydra_config=True)
    with open_dict(cfg):
        cfg.hydra.runtime.output_dir = str(folder)
        HydraConfig.instance().set_config(cfg)
        del cfg["hydra"]
    folder.mkdir(exist_ok=True)
    with hydra.utils.execution_whitelist(ALLOWED_TARGETS):
        outcome = main(cfg)
    assert isinstance(outcome, Outcome)
    return outcome
