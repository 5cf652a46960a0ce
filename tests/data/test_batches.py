"""Batches: their rows, the order in each epoch, and the epochs of Lightning."""

import itertools

import pytest
import pytorch_lightning as L
import torch
from torch import Tensor

from lightsweep.data.batches import EpochOrder, TensorBatches


def batches(n_rows: int, *, batch_size: int, seed: int | None = 0) -> TensorBatches:
    """Return batches of rows whose feature and label are the row number."""
    rows = torch.arange(n_rows)
    return TensorBatches(rows[:, None].float(), rows, batch_size=batch_size, shuffle_seed=seed)


def labels(loader: TensorBatches, *, epoch: int | None = None) -> list[list[int]]:
    if epoch is not None:
        assert loader.sampler is not None
        loader.sampler.set_epoch(epoch)
    parts = []
    for x, y in loader:
        assert x.tolist() == y[:, None].tolist(), "features and labels stay together"
        parts.append(y.tolist())
    return parts


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize(
    ("n_rows", "batch_size", "sizes"),
    [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 4, [3]), (4, 1, [1, 1, 1, 1]), (9, 4, [4, 4, 1])],
)
def test_every_row_comes_exactly_once_and_the_last_batch_is_short(
    n_rows: int, batch_size: int, sizes: list[int], seed: int | None
) -> None:
    loader = batches(n_rows, batch_size=batch_size, seed=seed)
    for epoch in (0, 1):
        parts = labels(loader, epoch=None if seed is None else epoch)
        assert [len(part) for part in parts] == sizes
        assert sorted(itertools.chain(*parts)) == list(range(n_rows))
    assert len(loader) == len(sizes)


def test_without_shuffling_rows_keep_their_order() -> None:
    assert labels(batches(5, batch_size=2, seed=None)) == [[0, 1], [2, 3], [4]]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    one = batches(50, batch_size=8, seed=1)
    forwards = [labels(one, epoch=epoch) for epoch in range(4)]
    torch.manual_seed(99)  # neither the global state nor earlier draws matter
    backwards = [labels(batches(50, batch_size=8, seed=1), epoch=epoch) for epoch in reversed(range(4))]
    assert forwards == backwards[::-1]
    assert labels(one, epoch=2) == labels(one) == forwards[2]


def test_shuffling_does_not_use_the_generator_of_torch() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    labels(batches(50, batch_size=8), epoch=3)
    assert torch.equal(torch.rand(1), expected)


def test_neighbouring_seeds_and_epochs_have_different_orders() -> None:
    orders = {}
    for seed in (0, 1, 2, 2**32 - 1):
        for epoch in range(20):
            order = EpochOrder(n=40, seed=seed)
            order.set_epoch(epoch)
            orders[seed, epoch] = tuple(order.permutation().tolist())
    assert len(set(orders.values())) == len(orders)


class Recorder(L.LightningModule):
    """A model that records the rows of each epoch in order."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.epochs: dict[int, list[int]] = {}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        self.epochs.setdefault(self.current_epoch, []).extend(batch[1].tolist())
        return self.weight.sum() * 0


def test_lightning_sets_the_epoch_of_the_order(quiet_trainer: dict[str, object]) -> None:
    model = Recorder()
    L.Trainer(**quiet_trainer, max_epochs=3, logger=False).fit(model, batches(12, batch_size=5, seed=4))
    loader = batches(12, batch_size=5, seed=4)
    assert model.epochs == {epoch: list(itertools.chain(*labels(loader, epoch=epoch))) for epoch in range(3)}
    assert model.epochs[0] != model.epochs[1]


@pytest.mark.parametrize("at_once", [1, 6, 7, 1000])
def test_the_number_of_gathered_rows_does_not_change_the_batches(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    x, y = torch.arange(46.0).reshape(23, 2), torch.arange(23)
    batches = TensorBatches(x, y, batch_size=3, shuffle_seed=5)
    expected = list(batches)
    monkeypatch.setattr("lightsweep.data.batches.GATHERED_VALUES", at_once)
    gathered = list(batches)
    assert [len(part) for _, part in gathered] == [3, 3, 3, 3, 3, 3, 3, 2]
    assert all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(gathered, expected, strict=True))
