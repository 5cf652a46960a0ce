"""Another validation split by `val_seed` or `fold`, of each data module and in each way to split."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
import torch

from lightsweep.data.openml import OpenMLDataModule
from lightsweep.data.resampling import Resampling
from lightsweep.data.table import module
from lightsweep.data.table.module import TableDataModule
from lightsweep.errors import ConfigError
from tests.data.table.tables import ARRAYS, arrays, rows_of, table, write_numbered
from tests.data.test_datamodules import digits, synthetic

Rows = list[list[int]]  # of training, validation and test
Split = Callable[..., Rows]

N_FOLDS = 4
GROUPS = [f"g{i // 3}" for i in range(100)]
WAYS: dict[str, dict[str, Any]] = {
    "stratified": {},
    "random": {"split": "random"},
    "group": {"split": "group", "split_by": "g"},
}


def rows_of_table(folder: Path, **settings: Any) -> Rows:
    if not (folder / "a.csv").exists():
        write_numbered(folder, g=GROUPS)
    return rows_of(table(folder, drop=[] if "split_by" in settings else ["g"], **settings))


def rows_of_arrays(folder: Path, **settings: Any) -> Rows:
    np.savez(folder / "a.npz", x=np.arange(100), y=np.arange(100) % 2)
    return rows_of(arrays(folder, "a.npz", **settings))


def rows_of_openml(folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Rows:
    frame = pd.DataFrame({"i": range(100), "y": ["a", "b"] * 50})
    bunch = type("Bunch", (), {"frame": frame, "target_names": ["y"]})
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda **_: bunch)
    own = {"name": "numbered", "version": 1, "id": None, "data_home": None, "relative_to": str(folder)}
    return rows_of(OpenMLDataModule(**{**ARRAYS, **own, **settings}))


def rows_of_tensors(make: Any, **settings: Any) -> Rows:
    """Return the rows by the positions of their features, which the scaler of another split scales differently."""
    data = make(**settings)
    scaler = data.scaler
    parts = (data.splits.train, data.splits.val, data.splits.test)
    raw = [[] if one is None else (one[0].numpy() * scaler.std + scaler.mean).round(2).tolist() for one in parts]
    return [[hash(tuple(abs(value) for value in row)) for row in part] for part in raw]


SOURCES = ["digits", "synthetic", "arrays", "arrays-random", "openml", *(f"table-{way}" for way in WAYS)]


@pytest.fixture(params=SOURCES)
def split(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Split:
    """Return the rows of each split with the given settings."""
    source, _, way = request.param.partition("-")
    if source == "digits":
        return lambda **settings: rows_of_tensors(digits, **settings)
    if source == "synthetic":
        return lambda **settings: rows_of_tensors(lambda **more: synthetic(n_samples=300, **more), **settings)
    if source == "arrays":
        return lambda **settings: rows_of_arrays(tmp_path, split=way or None, **settings)
    if source == "openml":
        return lambda **settings: rows_of_openml(tmp_path, monkeypatch, **settings)
    return lambda **settings: rows_of_table(tmp_path, **WAYS[way], **settings)


def test_test_rows_never_depend_on_the_validation_rows(split: Split) -> None:
    for seed in (0, 1):
        train, val, test = split(seed=seed)
        rest = sorted(train + val)
        drawn = [split(seed=seed, val_seed=val_seed) for val_seed in range(5)]
        folds = [split(seed=seed, fold=fold, n_folds=N_FOLDS) for fold in range(N_FOLDS)]
        for one in (*drawn, *folds):
            assert one[2] == test
            assert sorted(one[0] + one[1]) == rest
        assert len({tuple(sorted(one[1])) for one in (*drawn, [train, val, test])}) == 6
        assert all(len(one[1]) == pytest.approx(len(val), abs=2) for one in drawn)


def test_folds_are_all_rows_that_are_no_test_rows_and_of_one_size(split: Split) -> None:
    rest = sorted(row for part in split()[:2] for row in part)
    for settings in ({}, {"val_seed": 3}):
        folds = [split(fold=fold, n_folds=N_FOLDS, **settings)[1] for fold in range(N_FOLDS)]
        assert sorted(row for fold in folds for row in fold) == rest
        assert max(map(len, folds)) - min(map(len, folds)) <= 3
    assert sorted(split(fold=0, val_seed=3)[1]) != sorted(split(fold=0)[1])


def test_a_refit_is_the_same_with_any_validation_rows(split: Split) -> None:
    first = split(refit=True)
    assert split(refit=True, val_seed=1) == split(refit=True, fold=2) == first


def test_a_number_gives_the_same_rows_again(split: Split) -> None:
    assert split(val_seed=7) == split(val_seed=7)


@pytest.mark.parametrize("settings", [{"val_seed": 1}, {"fold": 1}, {"val_seed": 2, "fold": 3}])
def test_classes_and_groups_are_split_as_before(settings: Mapping[str, Any], tmp_path: Path) -> None:
    _, val, _ = rows_of_table(tmp_path, **settings)
    assert abs(sum(row % 2 for row in val) - len(val) / 2) <= 0.5
    groups = [{GROUPS[row] for row in part} for part in rows_of_table(tmp_path, **WAYS["group"], **settings)]
    assert len(set.union(*groups)) == sum(map(len, groups))


def test_the_first_split_is_that_of_earlier_versions(tmp_path: Path) -> None:
    write_numbered(tmp_path, g=[f"g{i // 5}" for i in range(100)])
    expected = {
        "stratified": [6, 20, 22, 30, 39, 41, 45, 63, 66, 70, 80, 81, 85, 87, 93, 94],
        "random": [5, 16, 23, 40, 44, 45, 46, 50, 51, 54, 62, 70, 84, 85, 92, 94],
        "group": [50, 51, 52, 53, 54, 70, 71, 72, 73, 74, 80, 81, 82, 83, 84],
    }
    for way, val in expected.items():
        assert rows_of_table(tmp_path, seed=7, **WAYS[way])[1] == val


def test_the_preprocessing_is_fitted_on_the_training_rows_of_the_split(tmp_path: Path) -> None:
    write_numbered(tmp_path)
    for val_seed in (None, 1, 2):
        x = table(tmp_path, val_seed=val_seed).splits.train[0][:, 0]
        assert (x.mean().item(), x.std(correction=0).item()) == pytest.approx((0, 1), abs=1e-5)


def test_dropped_classes_are_those_of_the_first_split_or_test_rows_would_differ(tmp_path: Path) -> None:
    labels = [*("ab" * 94), *(name for name in "cdef" for _ in range(3))]
    pd.DataFrame({"i": range(200), "y": labels}).to_csv(tmp_path / "a.csv", index=False)
    first = table(tmp_path, split="random", rare_classes="drop", val_fraction=0.5)
    tests = []
    for val_seed in range(12):
        data = table(tmp_path, split="random", rare_classes="drop", val_fraction=0.5, val_seed=val_seed)
        try:
            tests.append(rows_of(data)[2])
        except ConfigError as error:
            assert "rows, 0 of them for training" in str(error)  # noqa: PT017  (others are in a split)
    assert tests
    assert all(test == rows_of(first)[2] for test in tests)


def folders_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.is_dir())


def test_other_splits_leave_nothing_in_the_cache_and_read_the_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_numbered(tmp_path)
    first = table(tmp_path).splits
    cached = folders_in(tmp_path / "cache")
    assert capsys.readouterr().err != ""
    read: list[Path] = []
    tables = TableDataModule.tables

    def counted(self: TableDataModule) -> Any:
        read.append(self.paths["train"])
        return tables(self)

    monkeypatch.setattr(TableDataModule, "tables", counted)
    module._tables_of.cache_clear()
    splits = [table(tmp_path, val_seed=val_seed).splits for val_seed in range(3)]
    assert len(read) == 1
    assert folders_in(tmp_path / "cache") == cached
    assert capsys.readouterr().err == ""
    for one in splits:
        assert torch.equal(one.test[1], first.test[1])  # the mapped files can be read


def test_the_key_of_the_cache_is_that_of_earlier_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_numbered(tmp_path)
    keys: list[Any] = []
    cached_folder = module.cached_folder

    def recorded(*arguments: Any, **more: Any) -> Path:
        keys.append(more["key"])
        return cached_folder(*arguments, **more)

    monkeypatch.setattr(module, "cached_folder", recorded)
    for settings in ({}, {"val_seed": 1}, {"fold": 1}):
        _ = table(tmp_path, **settings).splits
    assert keys[0] == keys[1] == keys[2]
    assert "resampling" not in keys[0]["settings"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"val_seed": -1}, "data.val_seed is -1; it must be a whole number of at least 0, or null."),
        ({"n_folds": 1}, "data.n_folds is 1; it must be a whole number of at least 2."),
        (
            {"fold": 5},
            "data.fold is 5, but data.n_folds is 5. Set data.fold to a number from 0 to 4, or data.n_folds to more than"
            " 5.",
        ),
        (
            {"val_seed": 3, "split": "time", "split_by": "i"},
            "data.val_seed is 3, but with data.split=time there is no other split. Set data.val_seed=null, or"
            " data.split=random, group or stratified.",
        ),
        (
            {"fold": 0, "split": "column", "split_by": "s"},
            "data.fold is 0, but with data.split=column there is no other split. Set data.fold=null, or"
            " data.split=random, group or stratified.",
        ),
        (
            {"resampling": "kfold", "fold": 1},
            "data.fold is 1, but data.resampling=kfold trains all folds. Set data.fold=null, or"
            " data.resampling=holdout.",
        ),
        (
            {"val_seed": 0, "fold": 1, "val_path": "b.csv"},
            "data.val_seed is 0 and data.fold is 1, but data.val_path gives the validation rows, so there is no other"
            " split. Set data.val_seed=null data.fold=null, or leave out data.val_path.",
        ),
        (
            {"resampling": "reshuffle", "split": "time", "split_by": "i"},
            "data.resampling is reshuffle, but with data.split=time there is no other split. Set"
            " data.resampling=holdout, or data.split=random, group or stratified.",
        ),
    ],
)
def test_settings_without_sense_are_one_message(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        table(tmp_path, **settings)
    assert str(error.value) == message


def test_fewer_groups_than_folds_are_a_message(tmp_path: Path) -> None:
    write_numbered(tmp_path, g=[f"g{i // 25}" for i in range(100)])
    with pytest.raises(ConfigError, match=r"data\.n_folds is 5, but only 3 groups are no test rows\."):
        _ = table(tmp_path, **WAYS["group"], fold=0).splits


@pytest.mark.parametrize(
    ("labels", "which"), [([0, 0, 0, 0, 1, 1], "2 rows of the class 1 are"), ([0, 0, 0, 0], "4 rows are")]
)
def test_more_folds_than_rows_are_a_message(labels: list[int], which: str) -> None:
    resampling = Resampling(fold=0, n_folds=5)
    with pytest.raises(ConfigError, match=rf"data\.n_folds is 5, but only {which} no test rows\. Set data\.n_folds"):
        resampling.validation(np.array(labels), fraction=0.2, seed=0)
