"""The intervals of test metrics."""

import math

import numpy as np
import pytest
import torch

from lightsweep.data.splits import Scaler
from lightsweep.export.bootstrap import interval
from lightsweep.export.bootstrap import test_intervals as intervals_of
from lightsweep.model.objectives import Regression
from lightsweep.task import Task


def test_the_interval_of_an_accuracy_is_that_of_a_binomial() -> None:
    actual = torch.arange(400) % 2
    predicted = torch.nn.functional.one_hot(torch.where(torch.arange(400) < 40, 1 - actual, actual), 2).double()
    low, high = intervals_of(predicted, actual, task=Task.BINARY)["test/acc"]
    width = 1.96 * math.sqrt(0.9 * 0.1 / 400)
    assert (low, high) == (pytest.approx(0.9 - width, abs=0.006), pytest.approx(0.9 + width, abs=0.006))


def test_the_intervals_of_a_regression_hold_its_metrics() -> None:
    generator = torch.Generator().manual_seed(1)
    actual = torch.randn(500, 2, generator=generator)
    predicted = actual + torch.randn(500, 2, generator=generator) * torch.tensor([0.1, 2.0])
    metrics = Regression(n_targets=2, scaler=Scaler(mean=np.zeros(2), std=np.ones(2))).new_metrics()
    metrics.update(predicted, actual)
    values = metrics.compute()
    for name, (low, high) in intervals_of(predicted, actual, task=Task.REGRESSION).items():
        value = float(values[name.removeprefix("test/")])
        assert low < value < high
        assert high - low < 0.2 * value


def test_a_metric_without_spread_has_an_interval_without_width() -> None:
    assert interval(np.ones((10, 1))) == (1.0, 1.0)


def test_a_large_split_takes_fewer_resamples() -> None:
    low, high = interval(np.random.default_rng(0).normal(size=(200_000, 1)))
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(200_000), rel=0.3)
