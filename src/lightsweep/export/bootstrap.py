"""How sure a test metric is: its interval by the bootstrap over the test rows."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lightsweep.task import Task

Scores = npt.NDArray[np.float64]

N_RESAMPLES = 1000
MAX_VALUES = 10_000_000  # resampled in all, which takes about a second
MIN_RESAMPLES = 200
QUANTILES = (0.025, 0.975)


def test_intervals(predicted: Tensor, actual: Tensor, *, task: Task) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of each metric that is a mean over rows, by its name in the logs.

    `predicted` are probabilities `(n, n_classes)` or values `(n, n_targets)`, `actual` labels `(n,)` or values. The
    percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13) draws the rows, and
    says nothing about another training.
    """
    if not task.is_regression:
        correct = (predicted.argmax(dim=1) == actual).double().numpy()
        return {"test/acc": interval(correct[:, None])}
    errors = (predicted.double() - actual.double()).numpy()
    return {"test/rmse": interval(errors**2, then=np.sqrt), "test/mae": interval(np.abs(errors))}


def interval(scores: Scores, *, then: Callable[[Scores], Scores] = lambda means: means) -> tuple[float, float]:
    """Return the interval of the mean over targets of `then` of the mean over rows; `scores` are `(n, n_targets)`."""
    n = len(scores)
    rng = np.random.default_rng(0)
    n_resamples = int(np.clip(MAX_VALUES // n, MIN_RESAMPLES, N_RESAMPLES))
    means = np.array([scores[rng.integers(n, size=n)].mean(axis=0) for _ in range(n_resamples)])
    low, high = np.quantile(then(means).mean(axis=1), QUANTILES)
    return float(low), float(high)
