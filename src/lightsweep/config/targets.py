"""What a config may name as `_target_`: everything else is refused before it is called."""

import os

from lightsweep.errors import ConfigError

VARIABLE = "LIGHTSWEEP_TRUST"  # your own classes, without touching this file: mypackage.*,other.module.Class
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


def check_user_targets() -> None:
    """Raise `ConfigError` if an entry of LIGHTSWEEP_TRUST can be no target; Hydra says less of it, at any place."""
    if wrong := [entry for entry in USER_TARGETS if not _is_entry(entry)]:
        raise ConfigError(
            f"{VARIABLE} is '{','.join(USER_TARGETS)}', of which '{wrong[0]}' is no entry. An entry is a class with its"
            " module, such as own_model.TwoTowers, or all of a module or package, such as own_model.*; a comma is"
            " between two."
        )


def how_to_allow(entry: str) -> str:
    """What sets the variable such that the entry is trusted, beside what is."""
    return f"{VARIABLE}='{','.join([*USER_TARGETS, entry])}'"


def _is_entry(text: str) -> bool:
    *module, last = text.split(".")
    return bool(module) and all(part.isidentifier() for part in module) and (last == "*" or last.isidentifier())


RENAMED_TARGETS = {  # targets of earlier versions, in studies, shipped models and configs
    "lightsweep.optimizer.rmsprop.RMSprop": "torch.optim.RMSprop",
}


def current_target(target: str) -> str:
    """Return the present name of a target, which is the same for most."""
    return RENAMED_TARGETS.get(target, target)
