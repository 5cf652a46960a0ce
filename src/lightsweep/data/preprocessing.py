"""From raw rows to the float matrix that a model takes, kept in a folder without pickle."""

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lightsweep.data.splits import Floats, Scaler
from lightsweep.errors import ConfigError
from lightsweep.files import write_atomically

PREPROCESSING = "preprocessing.json"
LIBRARIES = ("scikit-learn", "skops", "pandas", "pyarrow")  # which make a matrix of a table


class Preprocessing(Protocol):
    """To a matrix of `n_numbers` columns of numbers, then truths (0 or 1), then codes for learned embeddings.

    `cardinalities` has one number per column of codes.
    """

    @property
    def d_in(self) -> int: ...

    @property
    def n_numbers(self) -> int: ...

    @property
    def cardinalities(self) -> tuple[int, ...]: ...

    def transform(self, rows: Any) -> Floats:
        """The matrix of shape `(n, d_in)`, of a DataFrame or of an array whose columns are in the order of training.

        Raises `ConfigError` if the rows do not fit what was fitted.
        """

    def save(self, folder: Path, **facts: Any) -> None:
        """Write `preprocessing.json`, with `facts` beside it as they are, and what else loading needs."""


class ArrayPreprocessing:
    """Numbers in a fixed order, each standardised."""

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

    def save(self, folder: Path, **facts: Any) -> None:
        fitted = {"kind": "scaler", "mean": self.scaler.mean.tolist(), "std": self.scaler.std.tolist()}
        write_atomically(folder / PREPROCESSING, json.dumps({**fitted, **facts}))
