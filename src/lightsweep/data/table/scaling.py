"""Robust scaling with smooth clipping: RealMLP, Holzmueller et al., NeurIPS 2024, arXiv 2407.04491, section 3."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_array

LIMIT = 3.0  # that no value reaches

Array = npt.NDArray[np.float64]


class RobustSmoothScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Centres by the median, divides by the range of the middle half, and bends to within `LIMIT`: x / sqrt(1 + x²/9).

    If the middle half is one value, half of the whole range divides; a constant becomes 0.
    """

    def fit(self, x: npt.ArrayLike, y: Any = None) -> Self:
        values = check_array(x, dtype=np.float64)
        low, self.center_, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
        width = np.where(high > low, high - low, np.ptp(values, axis=0) / 2)
        self.factor_ = np.divide(1.0, width, out=np.zeros_like(width), where=width > 0)
        self.n_features_in_ = values.shape[1]
        return self

    def transform(self, x: npt.ArrayLike) -> Array:
        scaled = (check_array(x, dtype=np.float64) - self.center_) * self.factor_
        return np.asarray(scaled / np.sqrt(1 + np.square(scaled / LIMIT)))
