"""What a config may name as `_target_`: everything else is refused before it is called."""

import os

from lightsweep.errors import ConfigError

VARIABLE = "LIGHTSWEEP_TRUST"  # your own classes, without touching this file: mypackage.*,other.module.Class
OWN_TARGETS: tuple[str, ...] = tuple(filter(None, map(str.strip, os.environ.get(VARIABLE, "").split(","))))
TRUSTED_TARGETS: tuple[str, ...] = (
    "lightsweep.*",
    "optuna.samplers.*",
    "optuna.pruners.*",
    "pytorch_lightning.*",
    "torch.nn.*",
    "torch.optim.*",
    "torchmetrics.*",
    *OWN_TARGETS,
)


def check_trust() -> None:
    """Raise `ConfigError` if an entry of LIGHTSWEEP_TRUST can be no target; Hydra says less of it, at any place."""
    if wrong := [entry for entry in OWN_TARGETS if not _is_entry(entry)]:
        raise ConfigError(
            f"{VARIABLE} is '{','.join(OWN_TARGETS)}', of which '{wrong[0]}' is no entry. An entry is a class with its"
            " module, such as own_model.TwoTowers, or all of a module or package, such as own_model.*; a comma is"
            " between two."
        )


def way_to_trust(entry: str) -> str:
    """What sets the variable such that the entry is trusted, beside what is."""
    return f"{VARIABLE}='{','.join([*OWN_TARGETS, entry])}'"


def _is_entry(text: str) -> bool:
    *module, last = text.split(".")
    return bool(module) and all(part.isidentifier() for part in module) and (last == "*" or last.isidentifier())
