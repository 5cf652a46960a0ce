"""The data modules of digits and synthetic data: their content and the batches of each split."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from lightsweep.data.batches import TensorBatches
from lightsweep.data.digits import Digits
from lightsweep.data.saved_preprocessing import load_preprocessing
from lightsweep.data.synthetic import Synthetic
from lightsweep.data.tensors import EVAL_BATCH_SIZE, _fits
from lightsweep.errors import ConfigError
from lightsweep.task import Task

COMMON: dict[str, Any] = {"batch_size": 64, "shuffle": True, "seed": 0, "refit": False}


def digits(**changes: Any) -> Digits:
    return Digits(**{**COMMON, **changes})


def synthetic(**changes: Any) -> Synthetic:
    return Synthetic(**{"n_samples": 100, "n_features": 7, "n_classes": 3, **COMMON, **changes})


def n_rows(loader: Any) -> int:
    return sum(len(y) for _, y in loader)


@pytest.mark.parametrize(("refit", "sizes"), [(False, (1151, 287, 359)), (True, (1438, 0, 359))])
def test_the_digits_are_split_as_documented(refit: bool, sizes: tuple[int, int, int]) -> None:
    data = digits(refit=refit)
    assert (data.d_in, data.d_out) == (64, 10)
    assert list(data.classes) == list(range(10))
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    assert tuple(map(n_rows, loaders)) == sizes


def test_data_attributes_have_defaults(tmp_path: Path) -> None:
    data = digits()
    assert (data.task, data.targets, data.target.classes) == (Task.MULTICLASS, ("target",), tuple(range(10)))
    assert (data.cardinalities, data.class_weights, data.target_scaler) == ((), None, None)
    assert data.quantiles(5).shape == (64, 6)
    assert synthetic(n_classes=2).task is Task.BINARY
    data.preprocessing.save(tmp_path, target=data.target.to_record())
    loaded = load_preprocessing(tmp_path)
    x = load_digits(return_X_y=True)[0]
    np.testing.assert_array_equal(loaded.transform(x), data.scaler.transform(x.astype(np.float32)))


@pytest.mark.parametrize("shape", [(64,), (2, 63), (2, 65), (2, 8, 8), (0,), ()])
def test_rows_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"the rows have the shape .*; this model takes \(n, 64\)\."):
        digits().preprocessing.transform(np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_their_position(value: float) -> None:
    x = np.zeros((3, 64))
    x[1, 7] = value
    with pytest.raises(ConfigError, match=rf"row 1, column 7 is {value}; this model takes finite numbers\."):
        digits().preprocessing.transform(x)


def test_the_digits_are_those_of_scikit_learn() -> None:
    data = digits()
    x, y = load_digits(return_X_y=True)
    parts = [data.splits.train, data.splits.val, data.splits.test]
    unscaled = np.concatenate([p[0].numpy() for p in parts if p]) * data.scaler.std + data.scaler.mean
    labelled = np.column_stack([unscaled.round(), np.concatenate([p[1].numpy() for p in parts if p])])
    assert sorted(map(tuple, labelled)) == sorted(map(tuple, np.column_stack([x, y])))


@pytest.mark.parametrize(("rows", "features", "classes"), [(60, 1, 2), (150, 30, 5)])
def test_synthetic_data_has_the_given_sizes(rows: int, features: int, classes: int) -> None:
    data = synthetic(n_samples=rows, n_features=features, n_classes=classes)
    assert (data.d_in, data.d_out) == (features, classes)
    assert sum(map(n_rows, (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()))) == rows
    assert set(torch.cat([data.splits.train[1], data.splits.test[1]]).tolist()) == set(range(classes))


def test_too_few_synthetic_rows_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"5 rows of \d classes are too few"):
        _ = synthetic(n_samples=5).d_in


@pytest.mark.parametrize("make", [digits, synthetic])
def test_the_seed_decides_the_data_and_the_order_of_the_batches(make: Any) -> None:
    same, again, other = make(seed=3), make(seed=3), make(seed=4)
    assert torch.equal(same.splits.train[0], again.splits.train[0])
    assert not torch.equal(same.splits.train[0], other.splits.train[0])
    first, repeated = (next(iter(data.train_dataloader()))[1] for data in (same, again))
    assert torch.equal(first, repeated)


@pytest.mark.parametrize(("shuffle", "ordered"), [(True, False), (False, True)])
def test_only_training_batches_are_small_and_shuffled(shuffle: bool, ordered: bool) -> None:
    data = synthetic(shuffle=shuffle, batch_size=16)
    train, val, test = data.train_dataloader(), data.val_dataloader(), data.test_dataloader()
    assert isinstance(val, TensorBatches)
    assert [b.batch_size for b in (train, val, test)] == [16, EVAL_BATCH_SIZE, EVAL_BATCH_SIZE]
    seen = torch.cat([y for _, y in train])
    assert torch.equal(seen, data.splits.train[1]) is ordered
    assert torch.equal(torch.cat([y for _, y in test]), data.splits.test[1])


@pytest.mark.parametrize(("free_bytes", "fits"), [(10_000, True), (700, False)])
def test_data_larger_than_half_of_the_free_gpu_memory_stays_on_the_host(
    monkeypatch: pytest.MonkeyPatch, free_bytes: int, fits: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free_bytes, 80_000))
    assert _fits(torch.zeros(10, 10), torch.device("cuda")) is fits
