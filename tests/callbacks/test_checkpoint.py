"""The checkpoint: the epoch that the pruning callback calls the best too, in one file of a plain name."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from lightsweep.callbacks import checkpoint as checkpoint_module
from lightsweep.callbacks.checkpoint import BestCheckpoint
from lightsweep.callbacks.pruning import PruningCallback
from lightsweep.direction import Direction
from lightsweep.trainer.checkpoint_io import AtomicCheckpointIO
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
        ("maximize", (0.1, 0.3, 0.3, 0.3), 1),  # of equal ones the first
        ("maximize", (-3.0, -1.0, -2.0), 1),
        ("minimize", (0.3, 0.1, 0.2), 1),
        ("minimize", (0.1, 0.2, 0.3), 0),
        ("minimize", (0.3, 0.1, 0.1), 1),
        ("minimize", (0.0, 0.0, 0.0), 0),
    ],
)
def test_the_file_holds_the_epoch_that_the_pruning_callback_calls_the_best(
    direction: Direction, values: Sequence[float], best_epoch: int, tmp_path: Path, writing_trainer: dict[str, Any]
) -> None:
    checkpoint = best_checkpoint(tmp_path, direction=direction)
    watcher = PruningCallback(monitor="val/acc", direction=direction)
    fit(values, callbacks=[watcher, checkpoint], **writing_trainer)
    saved = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert saved["epoch"] == watcher.best_epoch == best_epoch
    assert checkpoint.best_model_score is not None
    assert checkpoint.best_model_score.item() == watcher.best_value == values[best_epoch]
    assert saved["state_dict"]["weight"].item() == -N_BATCHES * (best_epoch + 1)


def test_it_looks_at_what_lightning_looks_at(tmp_path: Path, writing_trainer: dict[str, Any]) -> None:
    checkpoint = best_checkpoint(tmp_path)
    trainer = fit((0.1, 0.3), callbacks=[checkpoint], **writing_trainer)
    trainer.callback_metrics["step"] = torch.tensor(7.0)
    found = checkpoint._monitor_candidates(trainer)
    assert found == ModelCheckpoint._monitor_candidates(checkpoint, trainer)
    assert {name: value.dtype for name, value in found.items()} == {
        name: value.dtype for name, value in ModelCheckpoint._monitor_candidates(checkpoint, trainer).items()
    }
    found["val/acc"] += 1
    assert trainer.callback_metrics["val/acc"].item() == pytest.approx(0.3)


def test_with_several_validations_in_an_epoch_the_best_of_them_counts(
    tmp_path: Path, writing_trainer: dict[str, Any]
) -> None:
    checkpoint = best_checkpoint(tmp_path)
    watcher = PruningCallback(monitor="val/acc", direction="maximize")
    values = (0.1, 0.2, 0.9, 0.3)
    fit(values, callbacks=[watcher, checkpoint], max_epochs=2, val_check_interval=0.5, **writing_trainer)
    assert checkpoint.best_model_score is not None
    assert checkpoint.best_model_score.item() == watcher.best_value == 0.9
    saved = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert saved["epoch"] == watcher.best_epoch == 1
    assert saved["state_dict"]["weight"].item() == -3  # the weights of that validation, in the middle of the epoch


@pytest.mark.parametrize("filename", ["best", "best-{epoch}-{step}"])
def test_the_name_can_be_typed_in_an_override(filename: str, tmp_path: Path, writing_trainer: dict[str, Any]) -> None:
    checkpoint = BestCheckpoint(dirpath=str(tmp_path), filename=filename, monitor="val/acc", direction="maximize")
    fit((0.1, 0.3, 0.2), callbacks=[checkpoint], **writing_trainer)
    [written] = tmp_path.rglob("*")
    assert written.parent == tmp_path
    assert written.name == filename.format(epoch=1, step=2 * N_BATCHES) + ".ckpt"
    assert not set("=/,'\"") & set(written.name)


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")  # Lightning sees it coming
def test_a_second_fit_in_the_same_folder_replaces_the_file(tmp_path: Path, writing_trainer: dict[str, Any]) -> None:
    for values in ((0.9, 0.1), (0.1, 0.2, 0.3)):  # the second is worse, and still the only one of its fit
        fit(values, callbacks=[best_checkpoint(tmp_path)], **writing_trainer)
    assert [p.name for p in tmp_path.iterdir()] == ["best.ckpt"]
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["epoch"] == 2


class Written(Callback):
    """Notes after each epoch which epoch's weights the file holds, -1 if there is none."""

    def __init__(self, path: Path, *, then: BaseException | None = None, keep: bool = False) -> None:
        self.path, self.then, self.keep = path, then, keep
        self.epochs: list[int] = []
        self.after_epoch: dict[int, Callable[[], None]] = {}

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch == 0:
            return
        if self.keep:
            trainer.save_checkpoint(self.path.with_name("to_go_on_from.ckpt"))
        self.epochs.append(torch.load(self.path, weights_only=True)["epoch"] if self.path.is_file() else -1)
        if self.then is not None and trainer.current_epoch == 2:
            raise self.then
        self.after_epoch.get(trainer.current_epoch - 1, lambda: None)()


VALUES = (0.1, 0.3, 0.2, 0.4)


def test_a_short_fit_writes_once_at_its_end(tmp_path: Path, writing_trainer: dict[str, Any]) -> None:
    written = Written(tmp_path / "best.ckpt")
    fit(VALUES, callbacks=[written, best_checkpoint(tmp_path)], **writing_trainer)
    assert written.epochs == [-1, -1, -1]
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["epoch"] == 3


def test_a_long_fit_writes_each_best_epoch(
    tmp_path: Path, writing_trainer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_module, "SECONDS_BETWEEN_WRITES", 0.0)
    written = Written(tmp_path / "best.ckpt")
    fit(VALUES, callbacks=[written, best_checkpoint(tmp_path)], **writing_trainer)
    assert written.epochs == [0, 1, 1]


def test_what_waits_is_written_when_the_second_is_over(tmp_path: Path, writing_trainer: dict[str, Any]) -> None:
    checkpoint, written = best_checkpoint(tmp_path), Written(tmp_path / "best.ckpt")
    written.after_epoch = {0: lambda: setattr(checkpoint, "_next_write_s", 0.0)}
    fit((0.4, 0.3, 0.2, 0.1), callbacks=[written, checkpoint], **writing_trainer)
    assert written.epochs == [-1, 0, 0]


def test_other_callbacks_find_the_file_at_the_end_of_the_training(
    tmp_path: Path, writing_trainer: dict[str, Any]
) -> None:
    found = []

    class Looks(Callback):
        def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            found.append(Path(trainer.checkpoint_callback.best_model_path).is_file())  # type: ignore[union-attr]

    fit(VALUES, callbacks=[Looks(), best_checkpoint(tmp_path)], **writing_trainer)
    assert found == [True]


class Unwritable(AtomicCheckpointIO):
    def save_checkpoint(self, *_: Any, **__: Any) -> None:
        raise OSError("no space left")


def test_a_disk_that_is_full_does_not_hide_what_ended_the_fit(tmp_path: Path, writing_trainer: dict[str, Any]) -> None:
    callbacks = [Written(tmp_path, then=RuntimeError("the cause")), best_checkpoint(tmp_path)]
    with pytest.raises(RuntimeError, match="the cause"):
        fit(VALUES, callbacks=callbacks, plugins=[Unwritable()], **writing_trainer)
    with pytest.raises(OSError, match="no space left"):
        fit(VALUES, callbacks=[best_checkpoint(tmp_path)], plugins=[Unwritable()], **writing_trainer)


def test_what_waits_is_a_copy_of_all_of_the_checkpoint(tmp_path: Path, writing_trainer: dict[str, Any]) -> None:
    trainer = fit((0.1, 0.3, 0.2), callbacks=[best_checkpoint(tmp_path)], **writing_trainer)
    saved = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert saved["global_step"] == 2 * N_BATCHES
    assert saved["loops"]["fit_loop"]["epoch_progress"]["total"]["ready"] == 2
    assert saved["state_dict"]._metadata == trainer.lightning_module.state_dict()._metadata  # type: ignore[attr-defined]


def test_a_checkpoint_to_go_on_from_finds_the_best_one_beside_it(
    tmp_path: Path, writing_trainer: dict[str, Any]
) -> None:
    written = Written(tmp_path / "best.ckpt", keep=True)
    fit(VALUES, callbacks=[written, best_checkpoint(tmp_path)], **writing_trainer)
    assert written.epochs == [0, 1, 1]


@pytest.mark.parametrize("error", [RuntimeError(), KeyboardInterrupt()], ids=repr)
def test_a_fit_that_fails_leaves_the_best_epoch_before(
    error: BaseException, tmp_path: Path, writing_trainer: dict[str, Any]
) -> None:
    with pytest.raises((RuntimeError, SystemExit, KeyboardInterrupt)):
        fit(VALUES, callbacks=[Written(tmp_path, then=error), best_checkpoint(tmp_path)], **writing_trainer)
    saved = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert saved["epoch"] == 1
    assert saved["state_dict"]["weight"].item() == -2 * N_BATCHES
