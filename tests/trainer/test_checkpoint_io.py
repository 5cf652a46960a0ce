"""Checkpoints can be read with `weights_only`, whatever hyperparameters the module saves."""

from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as L
import torch
from omegaconf import OmegaConf

from lightsweep.trainer.checkpoint_io import AtomicCheckpointIO
from tests.callbacks.scripted import Scripted, batches

PLAIN = {"width": 4, "rates": [0.1, None], "name": "a", "deep": {"on": True}, "weights": torch.ones(2)}
FACTORY = partial(torch.optim.SGD, lr=0.1)


class Saving(Scripted):
    def __init__(self, hyperparameters: Any) -> None:
        super().__init__((0.1,))
        self.save_hyperparameters(hyperparameters)


@pytest.mark.parametrize(
    ("hyperparameters", "saved"),
    [
        (PLAIN, PLAIN),
        ({**PLAIN, "optimizer": FACTORY}, PLAIN),
        ({**PLAIN, "nested": [{"path": Path("here")}]}, PLAIN),
        (Namespace(**PLAIN, optimizer=FACTORY), PLAIN),
        ({"optimizer": FACTORY}, {}),
        (OmegaConf.create({"width": 4}), None),
    ],
)
@pytest.mark.parametrize("weights_only", [True, False])
def test_hyperparameters_that_are_objects_are_left_out(
    hyperparameters: Any, saved: Any, weights_only: bool, tmp_path: Path, quiet_trainer: dict[str, Any]
) -> None:
    model = Saving(hyperparameters)
    trainer = L.Trainer(**quiet_trainer, max_epochs=1, logger=False, plugins=[AtomicCheckpointIO()])
    trainer.fit(model, batches(), batches())
    trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only=weights_only)
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert checkpoint["state_dict"].keys() == model.state_dict().keys()
    assert str(checkpoint.get("hyper_parameters")) == str(saved)
    assert len(model.hparams) == len(
        vars(hyperparameters) if isinstance(hyperparameters, Namespace) else hyperparameters
    )
