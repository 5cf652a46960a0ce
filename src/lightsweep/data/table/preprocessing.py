"""Typed columns to the matrix of a model, by scikit-learn, fitted once and kept without pickle."""

import json
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, QuantileTransformer, StandardScaler

from lightsweep.data.preprocessing import PREPROCESSING
from lightsweep.data.splits import Floats
from lightsweep.data.table.columns import Columns, Kind
from lightsweep.data.table.transformer_file import dump, load
from lightsweep.data.table.values import MISSING_LEVEL, Where
from lightsweep.errors import ConfigError
from lightsweep.files import write_atomically

FITTED = "preprocessing.skops"
MANY = 10  # cells, all of which can hardly be new by chance
CELLS_AT_ONCE = 1 << 22  # of 8 bytes, and a few copies of them


class TablePreprocessing:
    """Columns of a table to the matrix: numbers, missing indicators, truths, one-hot columns, then codes.

    A code is 0 for a level that was missing, or unseen in training; `cardinalities` counts it.
    """

    def __init__(self, *, columns: Columns, transformer: ColumnTransformer, cardinalities: Sequence[int]) -> None:
        self.columns = columns
        self.transformer = transformer
        self.cardinalities = tuple(cardinalities)

    @classmethod
    def fitted(
        cls,
        typed: pd.DataFrame,
        *,
        columns: Columns,
        levels: Mapping[str, Sequence[str]],
        scale: str,
        one_hot_up_to: int,
        seed: int,
    ) -> "TablePreprocessing":
        """Fit on typed rows of training; `levels` has all that training has of each category, "" if some is missing."""
        coded = [name for name in levels if len(levels[name]) > one_hot_up_to]
        transformer = _transformer(typed, columns, levels=levels, coded=coded, scale=scale, seed=seed)
        transformer.fit(typed)
        cardinalities = [len([level for level in levels[name] if level != MISSING_LEVEL]) + 1 for name in coded]
        return cls(columns=columns, transformer=transformer, cardinalities=cardinalities)

    @property
    def d_in(self) -> int:
        return len(self.features)

    @property
    def n_numbers(self) -> int:
        return len(self.columns.numbers)

    @property
    def features(self) -> list[str]:
        """The name of each column of the matrix."""
        names = map(str, self.transformer.get_feature_names_out())
        return [name.split("__", 1)[-1] for name in names]  # without the step, which keeps them apart

    def transform(self, rows: Any, *, where: Where | None = None) -> Floats:
        """The matrix of shape `(n, d_in)`. Columns may be in any order, and there may be more than it takes.

        Warns of a category of whose many cells none was seen in training: it is likely to be written in another way,
        1234 for 01234. Raises `ConfigError` if a column is missing, or a cell is not what its column holds.
        """
        frame = (
            rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=[c.name for c in self.columns.all])
        )
        n = rows_at_once(len(self.columns.all))
        matrices = []
        strange: dict[str, str] = {}
        for start in range(0, max(1, len(frame)), n):
            typed = self.columns.typed(frame.iloc[start : start + n], where=where)
            matrices.append(self.matrix_of(typed))
            strange = (
                self._strange(typed) if start == 0 else {k: v for k, v in self._strange(typed).items() if k in strange}
            )
        for name, level in strange.items():
            warnings.warn(
                f"no cell of the column '{name}' was seen in training: {level!r} is here, {min(self._levels[name])!r}"
                " was there",
                stacklevel=2,
            )
        return np.concatenate(matrices)

    @cached_property
    def _levels(self) -> dict[str, set[str]]:
        """By category the levels of training."""
        steps = [step for step in self.transformer.transformers_ if step[0] in ("one_hot", "codes")]
        return {
            name: {*levels} - {MISSING_LEVEL}
            for _, encoder, names in steps
            for name, levels in zip(names, encoder.categories_, strict=True)
        }

    def _strange(self, typed: pd.DataFrame) -> dict[str, str]:
        """By category a level that is there, if there are many cells, and none of them was there in training."""
        found = {name: {*typed[name].unique()} - {MISSING_LEVEL} for name in self._levels}
        return {
            name: min(here)
            for name, here in found.items()
            if here.isdisjoint(self._levels[name]) and (typed[name] != MISSING_LEVEL).sum() >= MANY
        }

    def save(self, folder: Path, **facts: Any) -> None:
        temporary = folder / f".{FITTED}.tmp"
        dump(self.transformer, temporary)
        temporary.replace(folder / FITTED)
        fitted = {"kind": "table", **self.columns.to_record(), "cardinalities": [*self.cardinalities]}
        write_atomically(folder / PREPROCESSING, json.dumps({**fitted, **facts}))

    @classmethod
    def load(cls, folder: Path, record: Mapping[str, Any]) -> "TablePreprocessing":
        """Read what `save` wrote; a file with anything but such transformers is refused."""
        transformer = load(folder / FITTED)
        columns = Columns.from_record(record)
        if columns.typed_names != [*map(str, transformer.feature_names_in_)]:
            raise ConfigError(f"{folder / PREPROCESSING} has other columns than {FITTED} beside it.")
        return cls(columns=columns, transformer=transformer, cardinalities=record["cardinalities"])

    def matrix_of(self, typed: pd.DataFrame) -> Floats:
        """The matrix of rows that `Columns.typed` gave."""
        if not len(typed):
            return np.empty((0, self.d_in), dtype=np.float32)
        matrix: Floats = self.transformer.transform(typed).astype(np.float32)
        if self.cardinalities:
            matrix[:, -len(self.cardinalities) :] += 1  # the encoder gives -1 to what is unseen
        return matrix


def rows_at_once(n_columns: int) -> int:
    """So many rows of a table are made into a matrix at a time, for the sake of memory."""
    return max(1, CELLS_AT_ONCE // n_columns)


def _transformer(
    typed: pd.DataFrame,
    columns: Columns,
    *,
    levels: Mapping[str, Sequence[str]],
    coded: Sequence[str],
    scale: str,
    seed: int,
) -> ColumnTransformer:
    numbers, truths = columns.numbers, columns.named(Kind.BOOLEAN)
    one_hot = [name for name in levels if name not in coded]
    # Of a date that is missing one part tells it.
    may_be_missing = [name for c in columns.all for name in _first_of(c.name, c.parts, c.kind)]
    missing = [name for name in may_be_missing if typed[name].isna().any()]
    steps: list[tuple[str, Any, Sequence[str]]] = [
        ("numbers", _numbers(scale, n_rows=len(typed), seed=seed), numbers),
        ("missing", MissingIndicator(features="all"), missing),
        ("truths", SimpleImputer(strategy="most_frequent", keep_empty_features=True), truths),
        (
            "one_hot",
            OneHotEncoder(
                categories=[_as_objects(levels[name]) for name in one_hot],
                handle_unknown="ignore",
                sparse_output=False,
                dtype=np.float32,
            ),
            one_hot,
        ),
        (
            "codes",
            OrdinalEncoder(
                categories=[_as_objects(level for level in levels[name] if level != MISSING_LEVEL) for name in coded],
                handle_unknown="use_encoded_value",
                unknown_value=-1,
                dtype=np.float32,
            ),
            coded,
        ),
    ]
    return ColumnTransformer([step for step in steps if step[2]], sparse_threshold=0)


def _first_of(name: str, parts: Sequence[str], kind: Kind) -> list[str]:
    if kind is Kind.CATEGORY:
        return []
    return [parts[0]] if kind is Kind.DATE else [name]


def _as_objects(levels: Any) -> Any:
    return np.array(list(levels), dtype=object)


def _numbers(scale: str, *, n_rows: int, seed: int) -> Pipeline:
    scaler = (
        StandardScaler()
        if scale == "standard"
        else QuantileTransformer(n_quantiles=min(1000, n_rows), output_distribution="normal", random_state=seed)
    )
    return Pipeline([("impute", SimpleImputer(strategy="median", keep_empty_features=True)), ("scale", scaler)])
