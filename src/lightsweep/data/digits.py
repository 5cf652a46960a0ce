"""`data=digits`: scikit-learn's handwritten digits, 1,797 images of 8 x 8 grey values from 0 to 16, ten classes."""

from functools import lru_cache

import numpy as np
from sklearn.datasets import load_digits

from lightsweep.data.splits import Splits, split
from lightsweep.data.tensors import TensorDataModule


class Digits(TensorDataModule):
    """The test set of NIST's optical recognition of handwritten digits (Alpaydin and Kaynak, UCI, 1998)."""

    classes = range(10)

    @property
    def splits(self) -> Splits:
        return _digit_splits(seed=self.seed, refit=self.refit)


@lru_cache(maxsize=2)  # the trials of a process share the tensors, which are never modified
def _digit_splits(*, seed: int, refit: bool) -> Splits:
    x, y = load_digits(return_X_y=True)
    return split(x.astype(np.float32), y.astype(np.int64), seed=seed, refit=refit, one_unit=True)
