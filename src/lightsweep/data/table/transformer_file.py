"""scikit-learn's fitted transformers in a file without pickle, by skops.

skops trusts all types of scikit-learn, SciPy and NumPy, and takes two seconds to list them when it is imported. Here a
copy of it is told those that are written; a file with any other is refused.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, QuantileTransformer, StandardScaler

from lightsweep.stand_ins import StandIn, standing_in

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
LISTS = {
    "PRIMITIVE_TYPE_NAMES": ["builtins.int", "builtins.float", "builtins.str", "builtins.bool"],
    "CONTAINER_TYPE_NAMES": ["builtins.list", "builtins.set", "builtins.map", "builtins.tuple"],
    "SKLEARN_ESTIMATOR_TYPE_NAMES": [f"{kind.__module__}.{kind.__name__}" for kind in ESTIMATORS],
    "SKLEARN_INTERNAL_TYPE_NAMES": [],
    "SCIPY_UFUNC_TYPE_NAMES": [],
    "NUMPY_UFUNC_TYPE_NAMES": [],
    "NUMPY_RANDOM_BIT_GENERATOR_TYPE_NAMES": [],
    "NUMPY_DTYPE_TYPE_NAMES": sorted({f"numpy.{kind.__name__}" for kind in np.sctypeDict.values()}),
}
TRUSTED = ["numpy.dtype"]  # beside them; it runs nothing that the file says


@contextmanager
def _a_copy_of_its_own(package: str) -> Iterator[None]:
    """Let what is imported of the package be nobody else's, whether they have imported it or will."""

    def take_out() -> dict[str, ModuleType]:
        return {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] == package}

    others = take_out()
    try:
        yield
    finally:
        take_out()
        sys.modules.update(others)


with _a_copy_of_its_own("skops"), standing_in(StandIn("skops.io._trusted_types", **LISTS)):
    import skops.io


def dump(transformer: ColumnTransformer, path: Path) -> None:
    skops.io.dump(transformer, path)


def load(path: Path) -> Any:
    """Raises whatever skops does, if the file is damaged or holds anything else than the transformers above."""
    return skops.io.load(path, trusted=TRUSTED)
