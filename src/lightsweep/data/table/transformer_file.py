"""scikit-learn's fitted transformers in a file without pickle, by skops.

skops trusts all types of scikit-learn, SciPy and NumPy, and takes two seconds to list them when it is imported. Here it
is told those that are written; a file with any other is refused.
"""

from pathlib import Path
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

with standing_in(StandIn("skops.io._trusted_types", **LISTS)):
    import skops.io


def dump(transformer: ColumnTransformer, path: Path) -> None:
    skops.io.dump(transformer, path)


def load(path: Path) -> Any:
    """Raises whatever skops does, if the file is damaged or holds anything else than the transformers above."""
    return skops.io.load(path, trusted=TRUSTED)
