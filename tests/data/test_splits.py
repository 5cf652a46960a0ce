"""Stratified splits: sizes, proportions, the split of a refit, and the scaler."""

import numpy as np
import pytest
import torch

from lightsweep.data.splits import Floats, Labels, Scaler, Splits, split
from lightsweep.errors import ConfigError

Part = tuple[torch.Tensor, torch.Tensor]


def numbered(n_rows: int, *, n_classes: int = 2) -> tuple[Floats, Labels]:
    """Return rows with the row number as the first feature and the class as the second."""
    rows = np.arange(n_rows)
    labels = (rows % n_classes).astype(np.int64)
    return np.stack([rows, labels], axis=1).astype(np.float32), labels


def numbers_in(part: Part | None, scaler: Scaler) -> list[int]:
    if part is None:
        return []
    return (part[0].numpy() * scaler.std + scaler.mean).round().astype(int)[:, 0].tolist()


def rows_of(splits: Splits) -> tuple[list[int], list[int], list[int]]:
    train, val, test = (numbers_in(part, splits.scaler) for part in (splits.train, splits.val, splits.test))
    return train, val, test


@pytest.mark.parametrize(("refit", "sizes"), [(False, (192, 48, 60)), (True, (240, 0, 60))])
def test_every_row_is_in_one_split_with_its_label(refit: bool, sizes: tuple[int, int, int]) -> None:
    splits = split(*numbered(300, n_classes=3), seed=5, refit=refit)
    assert tuple(map(len, rows_of(splits))) == sizes
    assert (splits.val is None) == refit
    assert splits.train[0].dtype == splits.test[0].dtype == torch.float32
    assert splits.train[1].dtype == splits.test[1].dtype == torch.int64
    train, val, test = rows_of(splits)
    assert sorted(train + val + test) == list(range(300))
    for part in (splits.train, splits.val, splits.test):
        if part is not None:
            assert [row % 3 for row in numbers_in(part, splits.scaler)] == part[1].tolist()


@pytest.mark.parametrize("seed", range(4))
def test_each_class_keeps_its_share_in_every_split(seed: int) -> None:
    x, _ = numbered(500)
    y = np.repeat([0, 1, 2], [50, 150, 300]).astype(np.int64)
    splits = split(x, y, seed=seed, refit=False)
    assert splits.val is not None
    counts = [np.bincount(part[1]).tolist() for part in (splits.train, splits.val, splits.test)]
    assert counts == [[32, 96, 192], [8, 24, 48], [10, 30, 60]]


def test_rows_are_not_sorted_by_class() -> None:
    x, y = numbered(300, n_classes=3)
    splits = split(x, y, seed=0, refit=False)
    assert splits.val is not None
    for _, labels in (splits.train, splits.val, splits.test):
        assert (labels.diff() < 0).sum() > len(labels) / 6


def test_the_seed_alone_decides_the_split_of_each_row() -> None:
    same, again, other = (rows_of(split(*numbered(100), seed=seed, refit=False)) for seed in (7, 7, 8))
    assert same == again
    assert all(sorted(one) != sorted(another) for one, another in zip(same, other, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_a_refit_has_the_same_test_rows_and_trains_on_all_others(seed: int) -> None:
    x, y = numbered(200, n_classes=4)
    train, val, test = rows_of(split(x, y, seed=seed, refit=False))
    refit_train, _, refit_test = rows_of(split(x, y, seed=seed, refit=True))
    assert refit_test == test
    assert sorted(refit_train) == sorted(train + val)


@pytest.mark.parametrize("refit", [False, True])
def test_training_features_are_standardized(refit: bool) -> None:
    x = np.random.default_rng(0).lognormal(size=(300, 4)).astype(np.float32)
    train = split(x, np.arange(300) % 3, seed=0, refit=refit).train[0].numpy()
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(axis=0), 1, atol=1e-5)


def test_rows_outside_the_training_split_do_not_move_the_scaler() -> None:
    x, y = numbered(100)
    splits = split(x, y, seed=0, refit=False)
    _, val, test = rows_of(splits)
    changed = x.copy()
    changed[val + test] = 1e6
    moved = split(changed, y, seed=0, refit=False)
    np.testing.assert_array_equal(moved.scaler.mean, splits.scaler.mean)
    np.testing.assert_array_equal(moved.scaler.std, splits.scaler.std)
    assert torch.equal(moved.train[0], splits.train[0])


def test_a_constant_feature_becomes_zero() -> None:
    x = np.array([[3.0, 0.0], [3.0, 4.0]], dtype=np.float32)
    scaler = Scaler.of(x)
    assert scaler.mean.tolist() == [3.0, 2.0]
    assert scaler.std.tolist() == [1.0, 2.0]
    assert scaler.transform(x).tolist() == [[0.0, -1.0], [0.0, 1.0]]


def test_features_of_one_unit_share_mean_and_deviation() -> None:
    x = np.array([[0.0, 4.0], [0.0, 8.0]], dtype=np.float32)
    scaler = Scaler.of(x, one_unit=True)
    assert scaler.mean.tolist() == [3.0, 3.0]
    np.testing.assert_allclose(scaler.std, [x.std(), x.std()])


def test_the_scaler_is_precise_for_large_offsets() -> None:
    x = (1e4 + np.random.default_rng(0).standard_normal((20_000, 8))).astype(np.float32)
    scaler = Scaler.of(x)
    np.testing.assert_allclose(scaler.mean, x.astype(np.float64).mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(scaler.std, x.astype(np.float64).std(axis=0), rtol=1e-6)


# With 20 rows the test split would have 4 for 10 classes.
@pytest.mark.parametrize(("n_rows", "n_classes"), [(1, 1), (2, 2), (20, 10), (6, 3), (10, 10)])
def test_too_few_rows_of_a_class_are_a_config_error(n_rows: int, n_classes: int) -> None:
    x, y = numbered(n_rows, n_classes=n_classes)
    with pytest.raises(ConfigError, match=f"{n_rows} rows of {n_classes} classes are too few .* Give more rows"):
        split(x, y, seed=0, refit=False)
    x, y = numbered(100)
    y[0] = 2  # a class with a single row
    with pytest.raises(ConfigError, match="100 rows of 3 classes are too few"):
        split(x, y, seed=0, refit=False)
