"""`python train.py`, run in the process of the tests."""

from pathlib import Path

import hydra.utils
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, open_dict

from lightsweep.config.targets import ALLOWED_TARGETS
from lightsweep.trial.outcome import Outcome
from tests.conftest import CONF
from train import main


def refit(folder: Path, *overrides: str) -> Outcome:
    """Train with `refit=true` and these overrides, and export into `folder`."""
    return run(folder, "refit=true", "logger.csv=null", *overrides)


def run(folder: Path, *overrides: str) -> Outcome:
    """Train with these overrides, in `folder`, with the files that Hydra writes."""
    with initialize_config_dir(config_dir=str(CONF)):
        settings = ["verbose=false", "trainer=cpu", "threads=1", *overrides]
        cfg = compose("train", overrides=settings, return_hydra_config=True)
    with open_dict(cfg):
        cfg.hydra.runtime.output_dir = str(folder)
        cfg.hydra.runtime.cwd = str(Path.cwd())
        HydraConfig.instance().set_config(cfg)
        settings_of_hydra = cfg.pop("hydra")
    (folder / ".hydra").mkdir(exist_ok=True, parents=True)
    (folder / ".hydra" / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
    (folder / ".hydra" / "hydra.yaml").write_text(OmegaConf.to_yaml({"hydra": settings_of_hydra}))
    with hydra.utils.execution_whitelist(ALLOWED_TARGETS):
        outcome = main(cfg)
    assert isinstance(outcome, Outcome)
    return outcome
