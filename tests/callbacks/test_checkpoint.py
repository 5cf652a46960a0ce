"""The best checkpoint: its epoch and its file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import Callback

from lightsweep.callbacks.checkpoint import BestCheckpoint
from lightsweep.callbacks.pruning import PruningCallback
from lightsweep.direction import Direction
from tests.callbacks.scripted import N_BATCHES, fit


@pytest.fixture
def writing_trainer(quiet_trainer: dict[str, Any]) -> dict[str, Any]:
    return {**quiet_trainer, "enable_checkpointing": True}


def best_checkpoint(folder: Path, *, direction: Direction = "maximize") -> BestCheckpoint:
    return BestCheckpoint(dirpath=str(folder), filename="best", monitor="val/acc", direction=direction)


@pytest.mark.parametrize(
    ("direction", "values", "best_epoch"),
    [
        ("maximize", (0.1, 0.3, 0.2), 1),
        ("maximize", (0.3, 0.2, 0.1), 0),
        ("maximize", (0.1, 0.2, 0.3), 2),
        ("maximize", (0.1, 0.3, 0.3, 0.3), 1),  # of equal values the first
        ("maximize", (-3.0, -1.0, -2.0), 1),
        ("minimize", (0.3, 0.1, 0.2), 1),
        ("minimize", (0.1, 0.2, 0.3), 0),
        ("minimize", (0.3, 0.1, 0.1), 1),
        ("minimize", (0.0, 0.0, 0.0), 0),
    ],
)
def test_the_checkpoint_is_of_the_best_epoch_of_the_pruning_callback(
    direction: Direction, values: Sequence[float], best_epoch: int, tmp_path: Path, writing_trainer: dict[str, Any]
) -> None:
    checkpoint = best_checkpoint(tmp_path, direction=direction)
    pruning = PruningCallback(monitor="val/acc", direction=direction)
    fit(values, callbacks=[pruning, checkpoint], **writing_trainer)
    saved = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert saved["epoch"] == pruning.best_epoch == best_epoch
    assert checkpoint.best_model_score is not None
    assert checkpoint.best_model_score.item() == pruning.best_value == values[best_epoch]
    assert saved["state_dict"]["weight"].item() == -N_BATCHES * (best_epoch + 1)


def test_the_best_of_several_validations_in_an_epoch_counts(tmp_path: Path, writing_trainer: dict[str, Any]) -> None:
    checkpoint = best_checkpoint(tmp_path)
    pruning = PruningCallback(monitor="val/acc", direction="maximize")
    values = (0.1, 0.2, 0.9, 0.3)
    fit(values, callbacks=[pruning, checkpoint], max_epochs=2, val_check_interval=0.5, **writing_trainer)
    assert checkpoint.best_model_score is not None
    assert checkpoint.best_model_score.item() == pruning.best_value == 0.9
    saved = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert saved["epoch"] == pruning.best_epoch == 1
    assert saved["state_dict"]["weight"].item() == -3  # saved in the middle of epoch 1


@pytest.mark.parametrize(
    ("filename", "expected"), [("best", "best.ckpt"), ("best-{epoch}-{step}", f"best-1-{2 * N_BATCHES}.ckpt")]
)
def test_the_filename_has_no_names_of_metrics(
    filename: str, expected: str, tmp_path: Path, writing_trainer: dict[str, Any]
) -> None:
    checkpoint = BestCheckpoint(dirpath=str(tmp_path), filename=filename, monitor="val/acc", direction="maximize")
    fit((0.1, 0.3, 0.2), callbacks=[checkpoint], **writing_trainer)
    assert list(tmp_path.rglob("*")) == [tmp_path / expected]


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")  # Lightning warns of it
def test_a_second_fit_in_the_same_folder_replaces_the_file(tmp_path: Path, writing_trainer: dict[str, Any]) -> None:
    for values in ((0.9, 0.1), (0.1, 0.2, 0.3)):  # the second is worse, and replaces the first
        fit(values, callbacks=[best_checkpoint(tmp_path)], **writing_trainer)
    assert [p.name for p in tmp_path.iterdir()] == ["best.ckpt"]
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["epoch"] == 2


VALUES = (0.1, 0.3, 0.2, 0.4)


class Raises(Callback):
    """Ends the fit with an error before epoch 2."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch == 2:
            raise self.error


@pytest.mark.parametrize("error", [RuntimeError(), KeyboardInterrupt()], ids=repr)
def test_a_failed_fit_leaves_the_best_checkpoint_so_far(
    error: BaseException, tmp_path: Path, writing_trainer: dict[str, Any]
) -> None:
    with pytest.raises((RuntimeError, SystemExit, KeyboardInterrupt)):
        fit(VALUES, callbacks=[Raises(error), best_checkpoint(tmp_path)], **writing_trainer)
    saved = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert saved["epoch"] == 1
    assert saved["state_dict"]["weight"].item() == -2 * N_BATCHES
