"""The search's pruner, built from its config node in the driver and in each job."""

import warnings
from typing import Any

import hydra.utils
from omegaconf import DictConfig
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner

from lightsweep.config.instantiate import build
from lightsweep.config.targets import ALLOWED_TARGETS
from lightsweep.errors import ConfigError

PRUNER = "hydra.sweeper.pruner"


def build_pruner(node: DictConfig) -> BasePruner:
    """Build `hydra.sweeper.pruner`. Raises `ConfigError` if the node is not a pruner's."""
    pruner = build_from_optuna(node, PRUNER)
    if not isinstance(pruner, BasePruner):
        raise ConfigError(f"{PRUNER} is a {type(pruner).__name__}, not a pruner of optuna.pruners.")
    return pruner


def build_from_optuna(node: DictConfig, key: str, **arguments: Any) -> Any:
    """Build a sampler or pruner, outside of a job too, where Hydra has not set the allowlist."""
    with hydra.utils.execution_whitelist(ALLOWED_TARGETS), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # the user chose it, and the group says so
        return build(node, key, **arguments)
