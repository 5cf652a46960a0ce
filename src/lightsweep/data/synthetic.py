"""`data=synthetic`: noise with random labels, for timing and trying out."""

from functools import lru_cache

import numpy as np

from lightsweep.data.splits import Splits, split
from lightsweep.data.tensors import TensorDataModule


class Synthetic(TensorDataModule):
    """`n_samples` rows of `n_features` standard normal values, with labels drawn from `n_classes` classes."""

    def __init__(
        self,
        *,
        n_samples: int,
        n_features: int,
        n_classes: int,
        batch_size: int,
        shuffle: bool,
        seed: int,
        refit: bool,
    ) -> None:
        super().__init__(batch_size=batch_size, shuffle=shuffle, seed=seed, refit=refit)
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
        )


@lru_cache(maxsize=2)
def _noise_splits(*, n_samples: int, n_features: int, n_classes: int, seed: int, refit: bool) -> Splits:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_samples, n_features), dtype=np.float32)
    return split(x, rng.integers(n_classes, size=n_samples), seed=seed, refit=refit)
