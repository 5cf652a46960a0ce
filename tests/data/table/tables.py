"""Small tables in files, and the data module over them with all settings at their defaults."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lightsweep.data.arrays import ArraysDataModule
from lightsweep.data.table.module import TableDataModule

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


def table(folder: Path, path: str = "a.csv", **changes: Any) -> TableDataModule:
    return TableDataModule(**{**TABLE, "path": path, "relative_to": str(folder), **changes})


def arrays(folder: Path, path: str, **changes: Any) -> ArraysDataModule:
    return ArraysDataModule(**{**ARRAYS, "path": path, "y_path": None, "relative_to": str(folder), **changes})


def mixed(n: int = 400, *, missing: float = 0.2) -> pd.DataFrame:
    """Columns of each kind with cells missing, and the targets `y` (Yes, No), `v` and `w`."""
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
