"""The arguments of MLPModule in conf/model/mlp.yaml, for tests that change one or two, and a callback."""

from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from omegaconf import OmegaConf

CONF = Path(__file__).parents[2] / "conf/model/mlp.yaml"
SETTINGS: dict[str, Any] = {
    name: value
    for name, value in OmegaConf.to_container(OmegaConf.load(CONF)).items()  # type: ignore[union-attr]
    if name != "_target_"
}


def settings(**changes: Any) -> dict[str, Any]:
    optimizer = partial(torch.optim.Adam, lr=0.05)
    return {**SETTINGS, "d_in": 2, "d_out": 3, "dropout_rate": 0.0, "optimizer": optimizer, **changes}


class StopAfter(L.Callback):
    def __init__(self, n_epochs: int) -> None:
        self.n_epochs = n_epochs

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.n_epochs
