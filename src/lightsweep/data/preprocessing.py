"""Preprocessing of raw rows to the float matrix that a model takes, saved without pickle."""

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lightsweep.data.splits import Floats, Scaler
from lightsweep.errors import ConfigError
from lightsweep.files import write_atomically

PREPROCESSING = "preprocessing.json"
LIBRARIES = ("scikit-learn", "skops", "pandas", "pyarrow")  # their versions decide how a table is preprocessed


class Preprocessing(Protocol):
    """A matrix of `n_numbers` numeric columns, then booleans (0 or 1), then category codes for embeddings.

    `cardinalities` has the number of codes of each column of codes.
    """

    @property
    def d_in(self) -> int: ...

    @property
    def n_numbers(self) -> int: ...

    @property
    def cardinalities(self) -> tuple[int, ...]: ...

    def transform(self, rows: Any) -> Floats:
        """Return a matrix of shape `(n, d_in)` for a DataFrame, or an array with the columns in training order.

        Raises `ConfigError` if the rows do not fit the fitted columns.
        """

    def save(self, folder: Path, **extra: Any) -> None:
        """Write `preprocessing.json`, with the keys of `extra` added, and the other files that loading needs."""


class ArrayPreprocessing:
    """Numeric features in a fixed order, each standardized."""

    cardinalities: tuple[int, ...] = ()

    def __init__(self, scaler: Scaler) -> None:
        self.scaler = scaler

    @property
    def d_in(self) -> int:
        return len(self.scaler.mean)

    @property
    def n_numbers(self) -> int:
        return self.d_in

    def transform(self, rows: npt.ArrayLike) -> Floats:
        x = np.asarray(rows, dtype=np.float32)
        if x.ndim != 2 or x.shape[1] != self.d_in:
            raise ConfigError(f"the rows have the shape {x.shape}; this model takes (n, {self.d_in}).")
        if not np.isfinite(x).all():
            row, column = np.argwhere(~np.isfinite(x))[0]
            raise ConfigError(f"row {row}, column {column} is {x[row, column]}; this model takes finite numbers.")
        return self.scaler.transform(x)

    def save(self, folder: Path, **extra: Any) -> None:
        fitted = {"kind": "scaler", "mean": self.scaler.mean.tolist(), "std": self.scaler.std.tolist()}
        write_atomically(folder / PREPROCESSING, json.dumps({**fitted, **extra}))
