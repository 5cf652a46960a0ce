"""Hyperparameters without binary tails."""

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import create_trial

from lightsweep.trial.params import exact, params_of


@pytest.mark.parametrize(
    ("value", "distribution", "expected"),
    [
        (0.30000000000000004, FloatDistribution(0.1, 0.5, step=0.1), 0.3),
        (0.35000000000000003, FloatDistribution(0.05, 0.55, step=0.1), 0.35),
        (0.6000000000000001, FloatDistribution(0, 1, step=0.2), 0.6),
        (3 * 1e-5, FloatDistribution(0, 1e-4, step=1e-5), 3e-5),
        (150.0, FloatDistribution(50, 550, step=100), 150.0),
        (0.30000000000000004, FloatDistribution(0.1, 0.5), 0.30000000000000004),  # a continuous value keeps its digits
        (3, IntDistribution(1, 5), 3),
        ("a", CategoricalDistribution(["a", "b"]), "a"),
    ],
)
def test_a_value_of_a_range_with_a_step_is_what_people_write(
    value: float, distribution: BaseDistribution, expected: float
) -> None:
    assert exact(value, distribution) == expected
    trial = create_trial(value=0.0, params={"x": value}, distributions={"x": distribution})
    assert params_of(trial) == {"x": expected}
