"""`data=digits`: scikit-learn's handwritten digits, 1,797 images of 8 x 8 grey values from 0 to 16, ten classes."""

from functools import lru_cache

import numpy as np
from sklearn.datasets import load_digits

from lightsweep.data.resampling import Resampling
from lightsweep.data.splits import Floats, Labels, Splits, split
from lightsweep.data.tensors import TensorDataModule


class Digits(TensorDataModule):
    """The test set of NIST's optical recognition of handwritten digits (Alpaydin and Kaynak, UCI, 1998)."""

    classes = range(10)

    @property
    def splits(self) -> Splits:
        return _digit_splits(seed=self.seed, refit=self.refit, resampling=self.resampling)


@lru_cache(maxsize=2)  # the trials of a process share the tensors, which are never modified
def _digit_splits(*, seed: int, refit: bool, resampling: Resampling) -> Splits:
    x, y = _digits()
    return split(x, y, seed=seed, refit=refit, one_unit=True, resampling=resampling)


@lru_cache(maxsize=1)  # a search may split them again for each trial
def _digits() -> tuple[Floats, Labels]:
    x, y = load_digits(return_X_y=True)
    return x.astype(np.float32), y.astype(np.int64)
