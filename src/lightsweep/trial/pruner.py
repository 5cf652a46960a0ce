"""The pruner of the search, which the driver and every job build from the same config node.

With `hydra.sweeper.audit` a random share of the trials that it would prune run to the end, to judge it.
"""

import warnings
import zlib
from typing import Any

import hydra.utils
from omegaconf import DictConfig
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner

from lightsweep.config.instantiate import build
from lightsweep.config.targets import ALLOWED_TARGETS
from lightsweep.errors import ConfigError

PRUNER = "hydra.sweeper.pruner"
PRUNER_OF_FOLDS = "optuna.pruners.WilcoxonPruner"  # compares problem instances, such as folds, and not epochs
AUDITED = "would_be_pruned"  # the user attribute of a trial that runs to the end all the same: epoch, value and reason


def build_pruner(node: DictConfig) -> BasePruner:
    """Build `hydra.sweeper.pruner`. Raise `ConfigError` if the node is not that of a pruner."""
    pruner = build_from_optuna(node, PRUNER)
    if not isinstance(pruner, BasePruner):
        raise ConfigError(f"{PRUNER} is a {type(pruner).__name__}, not a pruner of optuna.pruners.")
    return pruner


def build_from_optuna(node: DictConfig, key: str, **arguments: Any) -> Any:
    """Build a sampler or pruner, also outside a job, where Hydra has not set the allowlist."""
    with hydra.utils.execution_whitelist(ALLOWED_TARGETS), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # the user chose the class in the config
        return build(node, key, **arguments)


def is_audited(study_name: str, number: int, *, share: float) -> bool:
    """Draw by the study and the trial's number, so that a trial that is resumed is treated the same."""
    return zlib.crc32(f"{study_name}:{number}".encode()) / 2**32 < share
