"""What a config may name as `_target_`: everything else is refused before it is called."""

import os

TRUSTED_TARGETS: tuple[str, ...] = (
    "lightsweep.*",
    "optuna.samplers.*",
    "optuna.pruners.*",
    "pytorch_lightning.*",
    "torch.nn.*",
    "torch.optim.*",
    "torchmetrics.*",
    # your own classes, without touching this file: LIGHTSWEEP_TRUST=mypackage.*,other.module.Class
    *filter(None, os.environ.get("LIGHTSWEEP_TRUST", "").split(",")),
)
