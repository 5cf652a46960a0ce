"""The range of the axes of values: all that matters is inside, what diverged is not."""

import math

import pytest
from optuna.study import StudyDirection

from lightsweep.report.value_range import ValueRange

CASES: dict[str, tuple[list[float], tuple[float, float]]] = {  # of losses
    "no outlier": ([0.5, 0.3, 0.4, 0.35], (0.3, 0.5)),
    "diverged": ([0.5, 0.3, 1e9, 0.4, 0.35], (0.3, 0.5)),
    "two diverged of five": ([0.5, 0.3, 1e9, 0.4, 3e12], (0.3, 0.5)),
    "one diverged of three": ([0.5, 0.3, 1e9], (0.3, 0.5)),
    "two trials": ([0.3, 1e9], (0.3, 1e9)),
    "most diverged": ([0.5, 0.3, 1e9, 2e9, 3e9], (0.3, 3e9)),
    "a long tail": ([0.1, 0.11, 0.12, 0.13, 0.2, 0.9], (0.1, 0.2)),
    "a short tail": ([0.1, 0.11, 0.12, 0.13, 0.2, 0.3], (0.1, 0.3)),
    "the best is far from the others": ([0.001, 0.5, 0.52, 0.53, 1e9], (0.001, 0.53)),
    "negative": ([-0.5, -0.3, 1e9, -0.4], (-0.5, -0.3)),
    "ties": ([0.5, 0.5, 0.5, 0.5, 0.6, 0.7, 1e9], (0.5, 0.7)),
    "all equal": ([0.5, 0.5, 0.5], (0.5, 0.5)),
    "one": ([0.5], (0.5, 0.5)),
    "not finite": ([0.5, math.nan, math.inf, 0.3, 0.4], (0.3, 0.5)),
    "none finite": ([math.nan, math.inf], (-math.inf, math.inf)),
    "none": ([], (-math.inf, math.inf)),
}


@pytest.mark.parametrize(("losses", "expected"), CASES.values(), ids=CASES)
def test_values_far_from_the_better_half_are_outside_in_either_direction(
    losses: list[float], expected: tuple[float, float]
) -> None:
    low, high = expected
    assert ValueRange.of(losses, direction=StudyDirection.MINIMIZE) == (low, high)
    assert ValueRange.of([-loss for loss in losses], direction=StudyDirection.MAXIMIZE) == (-high, -low)


@pytest.mark.parametrize(
    ("value", "clipped"),
    [(0.2, 0.3), (0.4, 0.4), (1e9, 0.5), (-1e9, 0.3), (-math.inf, -math.inf)],
)
def test_a_finite_value_is_clipped_to_the_range(value: float, clipped: float) -> None:
    assert ValueRange(0.3, 0.5).clip(value) == clipped


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.1, 11, True), (0.1, 9, False), (0, 1e9, False), (-1, 1e9, False), (-math.inf, math.inf, False)],
)
def test_positive_values_over_two_decades_need_a_logarithmic_axis(low: float, high: float, expected: bool) -> None:
    assert ValueRange(low, high).needs_log is expected
