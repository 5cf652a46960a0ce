"""scikit-learn's fitted transformers in a file without pickle, by skops."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, QuantileTransformer, StandardScaler

ESTIMATORS = (
    ColumnTransformer,
    MissingIndicator,
    OneHotEncoder,
    OrdinalEncoder,
    Pipeline,
    QuantileTransformer,
    SimpleImputer,
    StandardScaler,
)
TRUSTED = ["numpy.dtype"]  # beside what skops trusts; it runs nothing that the file says


def dump(transformer: ColumnTransformer, path: Path) -> None:
    skops.io.dump(transformer, path)


def load(path: Path) -> Any:
    """Read a transformer that `dump` wrote.

    Raises whatever skops does if the file is damaged or holds a type that skops does not trust, and `TypeError` if it
    holds an estimator other than `ESTIMATORS`.
    """
    loaded = skops.io.load(path, trusted=TRUSTED)
    for estimator in _estimators_in(loaded):
        if type(estimator) not in ESTIMATORS:
            raise TypeError(f"{path.name} holds a {type(estimator).__name__}, which no preprocessing is made of")
    return loaded


def _estimators_in(estimator: Any) -> Iterator[Any]:
    """The estimator and those that it is made of, without the columns that are dropped or passed through."""
    yield estimator
    parts = estimator.transformers_ if isinstance(estimator, ColumnTransformer) else ()
    parts = estimator.steps if isinstance(estimator, Pipeline) else parts
    for _, part, *_ in parts:
        if not isinstance(part, str):
            yield from _estimators_in(part)
