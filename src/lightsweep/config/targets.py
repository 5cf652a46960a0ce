"""The allowlist of `_target_` values: every other target is rejected before it is called."""

import os

from lightsweep.errors import ConfigError

VARIABLE = "LIGHTSWEEP_TRUST"  # the user's own targets: mypackage.*,other.module.Class
USER_TARGETS: tuple[str, ...] = tuple(filter(None, map(str.strip, os.environ.get(VARIABLE, "").split(","))))
ALLOWED_TARGETS: tuple[str, ...] = (
    "lightsweep.*",
    "optuna.samplers.*",
    "optuna.pruners.*",
    "pytorch_lightning.*",
    "torch.nn.*",
    "torch.optim.*",
    "torchmetrics.*",
    *USER_TARGETS,
)
# Targets of earlier versions that are in studies, shipped models and configs.
RENAMED_TARGETS = {
    "lightsweep.logger.wandb.WandbLogger": "pytorch_lightning.loggers.WandbLogger",
    "lightsweep.optimizer.rmsprop.RMSprop": "torch.optim.RMSprop",
}


def check_user_targets() -> None:
    """Raise `ConfigError` if an entry of LIGHTSWEEP_TRUST is malformed; Hydra would not name the variable."""
    if wrong := [entry for entry in USER_TARGETS if not _is_entry(entry)]:
        raise ConfigError(
            f"{VARIABLE} is '{','.join(USER_TARGETS)}', which has the malformed entry '{wrong[0]}'. An entry is a class"
            " with its module, such as own_model.TwoTowers, or a whole module or package, such as own_model.*; separate"
            " entries by commas."
        )


def _is_entry(text: str) -> bool:
    *module, last = text.split(".")
    return bool(module) and all(part.isidentifier() for part in module) and (last == "*" or last.isidentifier())


def how_to_allow(entry: str) -> str:
    """Return the setting of the environment variable that allows this entry too."""
    return f"{VARIABLE}='{','.join([*USER_TARGETS, entry])}'"


def current_target(target: str) -> str:
    """Return the present name of a target that an earlier version may have written."""
    return RENAMED_TARGETS.get(target, target)
