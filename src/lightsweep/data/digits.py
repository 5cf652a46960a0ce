"""scikit-learn's handwritten digits: 1,797 real images of 8 x 8 grey values from 0 to 16, ten classes."""

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lightsweep.data.splits import Splits, split
from lightsweep.data.tensors import TensorDataModule


class Digits(TensorDataModule):
    """The test set of NIST's optical recognition of handwritten digits (Alpaydin and Kaynak, UCI, 1998)."""

    classes = range(10)

    @property
    def splits(self) -> Splits:
        return _digit_splits(seed=self.seed, refit=self.refit)


@lru_cache(maxsize=2)  # every trial of a process shares the tensors, which nobody writes to
def _digit_splits(*, seed: int, refit: bool) -> Splits:
    table = _read_table()
    x, y = table[:, :-1].astype(np.float32), table[:, -1].astype(np.int64)
    return split(x, y, seed=seed, refit=refit, one_unit=True)


def _read_table() -> npt.NDArray[np.float64]:
    """The file that scikit-learn brings along: features, then the label. To import scikit-learn takes a second."""
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None
    [package] = spec.submodule_search_locations or []
    path = Path(package, "datasets", "data", "digits.csv.gz")
    if path.is_file():
        return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits  # another version may keep it elsewhere

    x, y = load_digits(return_X_y=True)
    return np.column_stack([x, y])
