"""`data=synthetic`: noise with random labels, for timing and trying out."""

from functools import lru_cache
from typing import Any

import numpy as np

from lightsweep.data.resampling import Resampling
from lightsweep.data.splits import Floats, Labels, Splits, split
from lightsweep.data.tensors import TensorDataModule


class Synthetic(TensorDataModule):
    """`n_samples` rows of `n_features` standard normal values, with labels drawn from `n_classes` classes."""

    def __init__(self, *, n_samples: int, n_features: int, n_classes: int, **common: Any) -> None:
        super().__init__(**common)
        self.n_samples = n_samples
        self.n_features = n_features
        self.classes = range(n_classes)

    @property
    def splits(self) -> Splits:
        return _noise_splits(
            n_samples=self.n_samples,
            n_features=self.n_features,
            n_classes=len(self.classes),
            seed=self.seed,
            refit=self.refit,
            resampling=self.resampling,
        )


@lru_cache(maxsize=2)
def _noise_splits(
    *, n_samples: int, n_features: int, n_classes: int, seed: int, refit: bool, resampling: Resampling
) -> Splits:
    x, y = _noise(n_samples=n_samples, n_features=n_features, n_classes=n_classes, seed=seed)
    return split(x, y, seed=seed, refit=refit, resampling=resampling)


@lru_cache(maxsize=1)  # a search may split them again for each trial
def _noise(*, n_samples: int, n_features: int, n_classes: int, seed: int) -> tuple[Floats, Labels]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_samples, n_features), dtype=np.float32)
    return x, rng.integers(n_classes, size=n_samples)
