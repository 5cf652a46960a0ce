"""Each way to split assigns the rows as documented."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.data.table.tables import rows_of, splits_of, table, write_numbered

SPLITS: dict[str, dict[str, Any]] = {
    "stratified": {},
    "random": {},
    "group": {"split_by": "g"},
    "time": {"split_by": "t"},
    "column": {"split_by": "s"},
}


@pytest.fixture
def splittable(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.permutation(100), unit="D")
    words = ["train"] * 60 + ["valid"] * 20 + ["test"] * 20
    write_numbered(tmp_path, g=[f"g{i // 5}" for i in range(100)], t=times.strftime("%d/%m/%Y"), s=words)
    return tmp_path


@pytest.mark.parametrize("how", SPLITS)
def test_test_rows_depend_on_the_seed_alone_and_a_refit_trains_on_all_others(how: str, splittable: Path) -> None:
    settings = {"split": how, "drop": [c for c in "gts" if c != SPLITS[how].get("split_by")], **SPLITS[how]}
    train, val, test = rows_of(table(splittable, **settings))
    assert sorted(train + val + test) == list(range(100))
    assert rows_of(table(splittable, **settings, refit=True)) == [sorted(train + val), [], test]
    if how != "column":
        assert rows_of(table(splittable, **settings, val_fraction=0.3))[2] == test
    if how in ("stratified", "random", "group"):
        assert rows_of(table(splittable, **settings, seed=1))[2] != test
        assert (len(val), len(test)) == pytest.approx((16, 20), abs=5)


def test_groups_are_in_one_split(splittable: Path) -> None:
    groups = pd.read_csv(splittable / "a.csv")["g"]
    data = table(splittable, split="group", split_by="g", drop=["t", "s"])
    groups_of_splits = [set(groups[rows]) for rows in rows_of(data)]
    assert len(set.union(*groups_of_splits)) == sum(map(len, groups_of_splits))


def test_test_rows_are_the_latest(splittable: Path) -> None:
    days = pd.to_datetime(pd.read_csv(splittable / "a.csv")["t"], format="%d/%m/%Y")
    train, val, test = rows_of(table(splittable, split="time", split_by="t", drop=["g", "s"]))
    assert days[train].max() < days[val].min() <= days[val].max() < days[test].min()


def test_a_column_may_name_the_split_of_each_row(splittable: Path) -> None:
    rows = rows_of(table(splittable, split="column", split_by="s", drop=["g", "t"]))
    assert rows == [list(range(60)), list(range(60, 80)), list(range(80, 100))]


def test_classes_are_split_in_proportion(splittable: Path) -> None:
    data = table(splittable, drop=["g", "t", "s"])
    assert [torch.bincount(y).tolist() for y in (data.splits.train[1], data.splits.test[1])] == [[32, 32], [10, 10]]


@pytest.mark.parametrize(
    ("paths", "sizes"),
    [
        ({}, (64, 16, 20)),
        ({"test_path": "b.csv"}, (84, 16, 50)),
        ({"val_path": "b.csv"}, (80, 50, 20)),
        ({"val_path": "b.csv", "test_path": "b.csv"}, (100, 50, 50)),
    ],
)
def test_splits_may_be_separate_files(paths: dict[str, str], sizes: tuple[int, ...], tmp_path: Path) -> None:
    write_numbered(tmp_path)
    pd.read_csv(tmp_path / "a.csv")[:50][["y", "i"]].to_csv(tmp_path / "b.csv", index=False)
    assert tuple(len(split[0]) for split in splits_of(table(tmp_path, **paths))) == sizes


def test_groups_of_any_size_are_in_all_splits(tmp_path: Path) -> None:
    groups = ["large"] * 40 + [f"single {i}" for i in range(60)]
    frame = pd.DataFrame({"g": groups, "x": range(100), "y": [i / 7 for i in range(100)]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    for seed in range(20):
        data = table(tmp_path, split="group", split_by="g", seed=seed)
        assert [len(split[1]) for split in splits_of(data)] == [64, 16, 20]


def test_equal_moments_are_in_one_split(tmp_path: Path) -> None:
    days = np.repeat(np.arange(20), 10)
    frame = pd.DataFrame({"day": days, "x": np.arange(200.0) % 7, "y": np.arange(200.0) % 11 + 0.5})
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "a.csv", index=False)
    data = table(tmp_path, split="time", split_by="day", val_fraction=0.16, test_fraction=0.22)
    assert [len(split[0]) for split in splits_of(data)] == [120, 40, 40]
