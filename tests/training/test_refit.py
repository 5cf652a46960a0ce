"""A refit trains on the rows of training and validation, or its model is the best trial's checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as L
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import EarlyStopping
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from lightsweep.training import refit as module
from lightsweep.training.refit import CHECKPOINT, TRAINING_ROWS, NotJoinableError, join_loaders, refit
from lightsweep.trial.outcome import ALL_ROWS

Load = Callable[..., Any]


def rows(n: int, *, start: int = 0) -> TensorDataset:
    return TensorDataset(torch.arange(start, start + n, dtype=torch.float32).unsqueeze(1))


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(rows(8))


class Endless(Dataset[Any]):
    def __getitem__(self, i: int) -> int:
        return i


def summed(batch: list[Any]) -> torch.Tensor:
    return torch.stack([row for (row,) in batch]).sum()


def drawing(n: int, **settings: Any) -> DataLoader[Any]:
    return DataLoader(rows(n), sampler=RandomSampler(rows(n), **settings))


def test_a_joined_loader_reads_all_rows_in_batches_like_those_of_the_training_loader() -> None:
    training = DataLoader(rows(6), batch_size=4, collate_fn=summed, drop_last=True)
    joined = join_loaders(training, [DataLoader(rows(5, start=6))])
    assert [batch.item() for batch in joined] == [0 + 1 + 2 + 3, 4 + 5 + 6 + 7]  # and three rows are dropped


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_joined_loader_shuffles_if_the_training_loader_does(shuffle: bool) -> None:
    joined = join_loaders(DataLoader(rows(40), batch_size=60, shuffle=shuffle), DataLoader(rows(20, start=40)))
    [[batch]] = joined
    assert sorted(batch.flatten().tolist()) == list(range(60))
    assert (batch.flatten().tolist() != list(range(60))) is shuffle


@pytest.mark.parametrize(
    ("training", "validation", "reason"),
    [
        (DataLoader(Stream()), DataLoader(rows(2)), "the training loader reads Stream, which has no length"),
        (DataLoader(rows(2)), DataLoader(Stream()), "the validation loader reads Stream, which has no length"),
        (DataLoader(Endless(), sampler=range(3)), DataLoader(rows(2)), "Endless, which has no length"),
        ([rows(2)], DataLoader(rows(2)), "the training loader is a list, not a DataLoader"),
        (DataLoader(rows(2)), None, "is a NoneType, not a DataLoader"),
        (DataLoader(rows(2)), [DataLoader(rows(2)), DataLoader(rows(3))], "one of them may hold test rows"),
        (DataLoader(rows(2), sampler=WeightedRandomSampler([1, 2], 4)), DataLoader(rows(2)), "WeightedRandomSampler"),
        (DataLoader(rows(2), batch_sampler=[[0], [1]]), DataLoader(rows(2)), "batch sampler of its own"),
        (drawing(4, num_samples=2), DataLoader(rows(2)), "training loader has a RandomSampler that does not read each"),
        (drawing(4, num_samples=9), DataLoader(rows(2)), "RandomSampler that does not read each row once"),
        (drawing(4, replacement=True), DataLoader(rows(2)), "RandomSampler that does not read each row once"),
        (DataLoader(rows(4), sampler=SequentialSampler(range(3))), DataLoader(rows(2)), "SequentialSampler that does"),
        (DataLoader(rows(2)), DataLoader(rows(4), sampler=SubsetRandomSampler([0])), "validation loader has a Subset"),
        (DataLoader(rows(2)), drawing(4, num_samples=2), "validation loader has a RandomSampler that does not"),
    ],
)
def test_what_one_loader_cannot_read_is_refused(training: Any, validation: Any, reason: str) -> None:
    with pytest.raises(NotJoinableError, match=reason):
        join_loaders(training, validation)


class Data(L.LightningDataModule):
    def __init__(self, training: Load = DataLoader) -> None:
        super().__init__()
        self.training = training

    def train_dataloader(self) -> Any:
        return self.training(rows(8), batch_size=2)

    def val_dataloader(self) -> Any:
        return DataLoader(rows(4), batch_size=2)


class Model(L.LightningModule):
    def __init__(self, *, stops_early: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.n_rows = 0
        self.stops_early = stops_early

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        self.n_rows += len(batch[0])
        return self.layer(batch[0]).sum()

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self.log("val_loss", self.layer(batch[0]).sum())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def configure_callbacks(self) -> list[L.Callback]:
        return [EarlyStopping("val_loss", check_on_train_epoch_end=True)] if self.stops_early else []


def streamed(*_: Any, **__: Any) -> DataLoader[Any]:
    return DataLoader(Stream(), batch_size=2)


@pytest.mark.parametrize(
    ("training", "stops_early", "has_checkpoint", "trained_on", "n_rows"),
    [
        (DataLoader, False, True, ALL_ROWS, 12),
        (DataLoader, False, False, ALL_ROWS, 12),
        (streamed, False, True, CHECKPOINT, None),
        (streamed, False, False, TRAINING_ROWS, None),
        (DataLoader, True, True, CHECKPOINT, 8),
    ],
)
def test_a_refit_of_any_data_module_knows_what_the_weights_were_trained_on(
    training: Load,
    stops_early: bool,
    has_checkpoint: bool,
    trained_on: str,
    n_rows: int | None,
    tmp_path: Path,
    quiet_trainer: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    best = Model()
    torch.save({"state_dict": best.state_dict(), "epoch": 6}, tmp_path / "best.ckpt")
    monkeypatch.setattr(module, "best_checkpoint", lambda: tmp_path / "best.ckpt" if has_checkpoint else None)
    model, trainer = (
        Model(stops_early=stops_early),
        L.Trainer(**quiet_trainer, max_epochs=1, limit_val_batches=0, logger=False),
    )
    done = refit(OmegaConf.create({"data": {}}), trainer=trainer, model=model, data=Data(training))
    assert (done.trained_on, done.n_rows) == (trained_on, n_rows)
    if trained_on == CHECKPOINT:
        assert torch.equal(model.layer.weight, best.layer.weight)
        assert done.n_epochs == 7
        assert done.failed
    else:
        assert done.failed is None
        assert model.n_rows == (n_rows or 8)
        assert done.n_epochs == 1


@pytest.mark.parametrize(
    ("limit", "is_limited"),
    [
        ({"limit_train_batches": 0.5}, True),
        ({"limit_train_batches": 1}, True),
        ({"overfit_batches": 1}, True),
        ({"limit_train_batches": 5}, True),
        ({"limit_train_batches": 6}, False),  # the batches that there are
        ({"limit_train_batches": 7}, False),
        ({"limit_train_batches": 1.0}, False),
        ({"overfit_batches": 6}, False),
    ],
)
def test_a_refit_that_the_trainer_limits_is_not_said_to_be_of_all_rows(
    limit: dict[str, Any], is_limited: bool, quiet_trainer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "best_checkpoint", lambda: None)
    trainer = L.Trainer(**quiet_trainer, max_epochs=1, limit_val_batches=0, logger=False, **limit)
    done = refit(OmegaConf.create({"data": {}}), trainer=trainer, model=Model(), data=Data())
    expected = (f"a part of {ALL_ROWS}, limited by the trainer", None) if is_limited else (ALL_ROWS, 12)
    assert (done.trained_on, done.n_rows) == expected


@pytest.mark.parametrize(("limit", "is_limited"), [(3, True), (4, False), (0.5, True), (1.0, False)])
def test_a_checkpoint_is_limited_by_the_batches_of_training_alone(
    limit: float, is_limited: bool, tmp_path: Path, quiet_trainer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"state_dict": Model().state_dict(), "epoch": 6}, tmp_path / "best.ckpt")
    monkeypatch.setattr(module, "best_checkpoint", lambda: tmp_path / "best.ckpt")
    trainer = L.Trainer(**quiet_trainer, max_epochs=1, limit_val_batches=0, logger=False, limit_train_batches=limit)
    done = refit(OmegaConf.create({"data": {}}), trainer=trainer, model=Model(stops_early=True), data=Data())
    expected = (f"a part of {CHECKPOINT}, limited by the trainer", None) if is_limited else (CHECKPOINT, 8)
    assert (done.trained_on, done.n_rows) == expected


def test_a_refit_without_a_checkpoint_raises_what_the_fit_raises(
    quiet_trainer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "best_checkpoint", lambda: None)
    trainer = L.Trainer(**quiet_trainer, max_epochs=1, limit_val_batches=0, logger=False)
    with pytest.raises(RuntimeError, match="val_loss"):
        refit(OmegaConf.create({"data": {}}), trainer=trainer, model=Model(stops_early=True), data=Data())
