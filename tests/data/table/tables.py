"""Small tables, and data modules with default settings."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lightsweep.data.arrays import ArraysDataModule
from lightsweep.data.table.module import FrameDataModule, TableDataModule
from lightsweep.errors import ConfigError

ARRAYS: dict[str, Any] = {
    "task": None,
    "split": None,
    "val_fraction": 0.16,
    "test_fraction": 0.2,
    "scale": "standard",
    "class_weights": None,
    "cache": "cache",
    "batch_size": 16,
    "shuffle": True,
    "seed": 0,
    "refit": False,
}
TABLE: dict[str, Any] = {
    **ARRAYS,
    "val_path": None,
    "test_path": None,
    "target": "y",
    "drop": None,
    "kinds": None,
    "missing": None,
    "decimal": "point",
    "split_by": None,
    "one_hot_up_to": 12,
}

WRITERS: dict[str, Any] = {
    "a.csv": lambda frame, path: frame.to_csv(path, index=False),
    "a.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "a.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "semicolons.csv": lambda frame, path: frame.to_csv(path, index=False, sep=";"),
    "with_index.csv": lambda frame, path: frame.to_csv(path),
    "bom.csv": lambda frame, path: frame.to_csv(path, index=False, encoding="utf-8-sig"),
    "a.parquet": lambda frame, path: frame.to_parquet(path),
    "a.feather": lambda frame, path: frame.to_feather(path),
}
OTHER_TARGETS = ["v", "w"]  # of `mixed`


def table(folder: Path, path: str = "a.csv", **changes: Any) -> TableDataModule:
    return TableDataModule(**{**TABLE, "path": path, "relative_to": str(folder), **changes})


def arrays(folder: Path, path: str, **changes: Any) -> ArraysDataModule:
    return ArraysDataModule(**{**ARRAYS, "path": path, "y_path": None, "relative_to": str(folder), **changes})


def mixed(n: int = 400, *, missing: float = 0.2) -> pd.DataFrame:
    """Return columns of each kind with missing values, and the targets `y` (Yes, No), `v` and `w`."""
    rng = np.random.default_rng(0)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, n).round(2),
            "plan": rng.choice(["basic", "plus", "pro"], n),
            "city": rng.choice([f"city {i}" for i in range(30)], n),
            "vip": rng.choice(["yes", "no"], n),
            "since": days.strftime("%d.%m.%Y"),
            "seen": pd.Timestamp("2024-01-01 05:30") + pd.to_timedelta(rng.integers(0, 900, n), unit="h"),
            "zip": [f"{i:05}" for i in rng.integers(0, 40, n)],
            "visits": rng.integers(0, 9, n),
        }
    )
    frame = frame.mask(rng.random(frame.shape) < missing)
    targets = {"y": rng.choice(["Yes", "No"], n, p=[0.3, 0.7]), "v": rng.normal(100, 5, n), "w": rng.normal(0, 1, n)}
    return frame.assign(**targets)


def write_numbered(folder: Path, **columns: Any) -> None:
    """Write a.csv with 100 rows, the row number as the feature `i`, and two alternating classes."""
    pd.DataFrame({"i": range(100), "y": ["a", "b"] * 50, **columns}).to_csv(folder / "a.csv", index=False)


def splits_of(data: FrameDataModule) -> list[Any]:
    return [split for split in (data.splits.train, data.splits.val, data.splits.test) if split is not None]


def rows_of(data: FrameDataModule) -> list[list[int]]:
    """Return the row numbers of each split, from the unscaled feature `i`."""
    scaler = data.preprocessing.transformer.named_transformers_["numbers"]["scale"]  # type: ignore[attr-defined]
    splits = (data.splits.train, data.splits.val, data.splits.test)
    unscaled = ([] if s is None else s[0][:, 0].numpy() * scaler.scale_[0] + scaler.mean_[0] for s in splits)
    return [np.round(numbers).astype(int).tolist() for numbers in unscaled]


def message_of(data: FrameDataModule) -> str:
    """Return the message of the error that reading the data raises."""
    with pytest.raises(ConfigError) as error:
        _ = data.splits
    return str(error.value)
