"""Preprocessing of typed columns by scikit-learn's transformers, saved by skops without pickle."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import skops.io
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, QuantileTransformer, StandardScaler
from sklearn.utils.validation import check_array

from lightsweep.data.preprocessing import PREPROCESSING
from lightsweep.data.splits import Floats
from lightsweep.data.table.columns import Columns, Kind
from lightsweep.data.table.values import MISSING_LEVEL, RowLocator
from lightsweep.data.unseen_levels import UnseenLevels
from lightsweep.errors import ConfigError
from lightsweep.files import write_atomically

TRANSFORMER = "preprocessing.skops"
VALUES_PER_BLOCK = 1 << 22  # 8 bytes each, and a few copies
LARGEST_SCALED = 3.0  # no value of `RobustSmoothScaler` reaches it


class RobustSmoothScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Centres by the median, divides by the range of the middle half, then takes x / sqrt(1 + x²/9).

    As in RealMLP: Holzmueller et al., "Better by Default", NeurIPS 2024, arXiv 2407.04491, section 3.
    If the middle half is one value, half of the whole range divides; a constant becomes 0.
    """

    def fit(self, x: npt.ArrayLike, y: Any = None) -> Self:
        values = check_array(x, dtype=np.float64)
        low, self.center_, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
        width = np.where(high > low, high - low, np.ptp(values, axis=0) / 2)
        self.factor_ = np.divide(1.0, width, out=np.zeros_like(width), where=width > 0)
        self.n_features_in_ = values.shape[1]
        return self

    def transform(self, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        scaled = (check_array(x, dtype=np.float64) - self.center_) * self.factor_
        return np.asarray(scaled / np.sqrt(1 + np.square(scaled / LARGEST_SCALED)))


ESTIMATORS = (
    ColumnTransformer,
    MissingIndicator,
    OneHotEncoder,
    OrdinalEncoder,
    Pipeline,
    QuantileTransformer,
    RobustSmoothScaler,
    SimpleImputer,
    StandardScaler,
)
# In addition to the types that skops trusts by default; loading them executes nothing.
TRUSTED = ["numpy.dtype", f"{RobustSmoothScaler.__module__}.{RobustSmoothScaler.__qualname__}"]


class TablePreprocessing:
    """A table as a matrix: numeric columns, missing indicators, booleans, one-hot columns, then category codes.

    The code 0 stands for missing and for levels unseen in training; `cardinalities` includes it.
    """

    def __init__(self, *, columns: Columns, transformer: ColumnTransformer, cardinalities: Sequence[int]) -> None:
        self.columns = columns
        self.transformer = transformer
        self.cardinalities = tuple(cardinalities)

    @classmethod
    def fit(
        cls,
        typed: pd.DataFrame,
        *,
        columns: Columns,
        levels: Mapping[str, Sequence[str]],
        scale: str,
        one_hot_up_to: int,
        seed: int,
    ) -> "TablePreprocessing":
        """Fit on typed training rows; `levels` has all levels of each category in training, "" for missing."""
        coded = [name for name in levels if len(levels[name]) > one_hot_up_to]
        transformer = _transformer(typed, columns, levels=levels, coded=coded, scale=scale, seed=seed)
        transformer.fit(typed)
        cardinalities = [len({*levels[name]} - {MISSING_LEVEL}) + 1 for name in coded]
        return cls(columns=columns, transformer=transformer, cardinalities=cardinalities)

    @property
    def d_in(self) -> int:
        return len(self.features)

    @property
    def n_numbers(self) -> int:
        return len(self.columns.numeric_names)

    @property
    def features(self) -> list[str]:
        """The name of each column of the matrix."""
        names = map(str, self.transformer.get_feature_names_out())
        return [name.split("__", 1)[-1] for name in names]  # scikit-learn prepends the name of the step

    def transform(self, rows: Any, *, where: RowLocator | None = None) -> Floats:
        """Return the matrix of shape `(n, d_in)`; columns may be in any order, and others are ignored.

        Warns with `UnseenLevels` for each category with levels that training has not seen. Raises `ConfigError` if a
        column is missing, or a value does not fit its column.
        """
        names = [column.name for column in self.columns.all]
        frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=names)
        n = rows_per_block(len(names))
        matrices = []
        unseen = {name: UnseenLevels(name, known=min(levels)) for name, levels in self._levels.items() if levels}
        for start in range(0, max(1, len(frame)), n):
            typed = self.columns.typed(frame.iloc[start : start + n], where=where)
            matrices.append(self.matrix_of(typed))
            for name, warning in unseen.items():
                warning.count(typed[name][typed[name] != MISSING_LEVEL], known=self._levels[name])
        for warning in unseen.values():
            if warning.n_unseen:
                warnings.warn(warning, stacklevel=2)
        return np.concatenate(matrices)

    @cached_property
    def _levels(self) -> dict[str, set[str]]:
        """The levels of each category in training."""
        steps = [step for step in self.transformer.transformers_ if step[0] in ("one_hot", "codes")]
        return {
            name: {*levels} - {MISSING_LEVEL}
            for _, encoder, names in steps
            for name, levels in zip(names, encoder.categories_, strict=True)
        }

    def matrix_of(self, typed: pd.DataFrame) -> Floats:
        """Return the matrix of rows that were typed by `Columns.typed`."""
        if not len(typed):
            return np.empty((0, self.d_in), dtype=np.float32)
        matrix: Floats = self.transformer.transform(typed).astype(np.float32)
        if self.cardinalities:
            matrix[:, -len(self.cardinalities) :] += 1  # the encoder gives -1 to unseen levels
        return matrix

    def save(self, folder: Path, **extra: Any) -> None:
        temporary = folder / f".{TRANSFORMER}.tmp"
        skops.io.dump(self.transformer, temporary)
        temporary.replace(folder / TRANSFORMER)
        fitted = {"kind": "table", **self.columns.to_record(), "cardinalities": [*self.cardinalities]}
        write_atomically(folder / PREPROCESSING, json.dumps({**fitted, **extra}))

    @classmethod
    def load(cls, folder: Path, record: Mapping[str, Any]) -> "TablePreprocessing":
        """Read the files of `save`; raises as `load_transformer`, and `ConfigError` if the files do not match."""
        transformer = load_transformer(folder / TRANSFORMER)
        columns = Columns.from_record(record)
        if columns.typed_names != [*map(str, transformer.feature_names_in_)]:
            raise ConfigError(f"{folder / PREPROCESSING} and {TRANSFORMER} have different columns.")
        return cls(columns=columns, transformer=transformer, cardinalities=record["cardinalities"])


def rows_per_block(n_columns: int) -> int:
    """Return how many rows of a table are transformed at once, to limit the memory."""
    return max(1, VALUES_PER_BLOCK // n_columns)


def load_transformer(path: Path) -> Any:
    """Read a transformer from a file of skops.

    Raises an error of skops if the file is damaged or has types that skops does not trust, and `TypeError` if it has an
    estimator other than `ESTIMATORS`.
    """
    loaded = skops.io.load(path, trusted=TRUSTED)
    for estimator in _estimators_in(loaded):
        if type(estimator) not in ESTIMATORS:
            raise TypeError(f"{path.name} holds a {type(estimator).__name__}, which no preprocessing uses")
    return loaded


def _estimators_in(estimator: Any) -> Iterator[Any]:
    """Yield the estimator and its nested estimators; "drop" and "passthrough" are none."""
    yield estimator
    parts = estimator.transformers_ if isinstance(estimator, ColumnTransformer) else ()
    parts = estimator.steps if isinstance(estimator, Pipeline) else parts
    for _, part, *_ in parts:
        if not isinstance(part, str):
            yield from _estimators_in(part)


def _transformer(
    typed: pd.DataFrame,
    columns: Columns,
    *,
    levels: Mapping[str, Sequence[str]],
    coded: Sequence[str],
    scale: str,
    seed: int,
) -> ColumnTransformer:
    one_hot = [name for name in levels if name not in coded]
    # All parts of a date are missing together, so the first one gets the indicator.
    may_be_missing = [column.typed_names[0] for column in columns.all if column.kind is not Kind.CATEGORY]
    missing = [name for name in may_be_missing if typed[name].isna().any()]
    one_hot_encoder = OneHotEncoder(
        categories=[np.array(levels[name], dtype=object) for name in one_hot],
        handle_unknown="ignore",
        sparse_output=False,
        dtype=np.float32,
    )
    known = [[level for level in levels[name] if level != MISSING_LEVEL] for name in coded]
    ordinal_encoder = OrdinalEncoder(
        categories=[np.array(names, dtype=object) for names in known],
        handle_unknown="use_encoded_value",
        unknown_value=-1,
        dtype=np.float32,
    )
    # The names of the steps are part of the saved file.
    steps: list[tuple[str, Any, Sequence[str]]] = [
        ("numbers", _numeric_pipeline(scale, n_rows=len(typed), seed=seed), columns.numeric_names),
        ("missing", MissingIndicator(features="all"), missing),
        ("truths", SimpleImputer(strategy="most_frequent", keep_empty_features=True), columns.named(Kind.BOOLEAN)),
        ("one_hot", one_hot_encoder, one_hot),
        ("codes", ordinal_encoder, coded),
    ]
    return ColumnTransformer([step for step in steps if step[2]], sparse_threshold=0)


def _numeric_pipeline(scale: str, *, n_rows: int, seed: int) -> Pipeline:
    scalers = {
        "standard": StandardScaler(),
        "quantile": QuantileTransformer(n_quantiles=min(1000, n_rows), output_distribution="normal", random_state=seed),
        "robust_smooth": RobustSmoothScaler(),
    }
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    return Pipeline([("impute", impute), ("scale", scalers[scale])])
