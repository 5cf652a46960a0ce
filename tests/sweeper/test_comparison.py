"""The choice among candidates that were trained with the same seeds."""

import math

import pytest
from optuna.study import StudyDirection

from lightsweep.sweeper.comparison import Candidate, decide, half_width, record_of, rows_of, why

MAX, MIN = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE


def candidate(number: int, *values: float, n_params: int | None = 100, is_defaults: bool = False) -> Candidate:
    return Candidate(
        number=number, is_defaults=is_defaults, searched_value=0.9, values=values, n_params=n_params, n_epochs=5
    )


def test_the_interval_is_students() -> None:
    # Student's 97.5 % quantile for 4 degrees of freedom is 2.776, from any table of it.
    assert half_width([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2.776 * math.sqrt(2.5 / 5), rel=1e-3)
    assert half_width([1.0]) == half_width([2.0, 2.0]) == 0.0


@pytest.mark.parametrize(
    ("direction", "candidates", "winner", "tied"),
    [
        (MAX, [candidate(3, 0.9, 0.91, 0.92), candidate(0, 0.8, 0.81, 0.82)], 3, []),
        (MIN, [candidate(3, 0.9, 0.91, 0.92), candidate(0, 0.8, 0.81, 0.82)], 0, []),
        # Each pair differs by 0.1, in the same direction: the splits differ more than the candidates.
        (MAX, [candidate(1, 0.5, 0.7, 0.9, n_params=9), candidate(2, 0.6, 0.8, 1.001, n_params=99)], 2, []),
        (MAX, [candidate(1, 0.9, 0.8), candidate(2, 0.8, 0.91)], 2, [1]),  # equal sizes: the best mean
        (MAX, [candidate(1, 0.9, 0.8, n_params=50), candidate(2, 0.8, 0.91, n_params=99)], 1, [1]),
        # The interval of two pairs is so wide that it holds 0, but the smaller model is worse by more than one error.
        (MAX, [candidate(1, 0.5, 0.7, n_params=50), candidate(2, 0.8, 0.91, n_params=99)], 2, [1]),
        (MIN, [candidate(3, 0.9, 0.92), candidate(1, 1.7, 2.2, n_params=50), candidate(0, 1.6, 1.9)], 3, [0, 1]),
        (MAX, [candidate(1, 0.9, 0.8, n_params=99), candidate(2, 0.8, 0.91, n_params=50)], 2, [1]),
        (MAX, [candidate(1, 0.9, 0.8, n_params=None), candidate(2, 0.8, 0.91)], 2, [1]),
        (MAX, [candidate(1, 0.9, 0.9), candidate(2, 0.9, 0.9)], 1, [2]),
    ],
)
def test_the_best_mean_wins_or_the_smallest_model_that_may_be_as_good(
    direction: StudyDirection, candidates: list[Candidate], winner: int, tied: list[int]
) -> None:
    decision = decide(candidates, direction=direction)
    assert decision.winner.number == winner
    assert sorted(c.number for c in decision.tied) == tied


def test_the_reason_names_the_tie_and_the_sizes() -> None:
    large, small = candidate(1, 0.9, 0.8, n_params=1000), candidate(0, 0.8, 0.88, n_params=50, is_defaults=True)
    decision = decide([large, small], direction=MAX)
    assert why(decision) == (
        "trial 0: the mean of trial 1 is better by 0.0100 ± 1.1436, less than one standard error, and this is the"
        " smaller model (50 weights against 1,000)"
    )
    equal = decide([candidate(1, 0.8, 0.9, n_params=1000), candidate(0, 0.9, 0.8, n_params=50)], direction=MAX)
    assert (
        why(equal) == "trial 0: its mean is that of trial 1, and this is the smaller model (50 weights against 1,000)"
    )
    rows = dict(rows_of(decision, [large, small]))
    assert rows["trial 0"].endswith("(searched 0.9000, the defaults)")
    record = record_of(decision, [large, small])
    assert (record["winner"], [c["trial"] for c in record["candidates"]]) == (0, [1, 0])


def test_differences_that_are_all_equal_say_nothing_about_chance() -> None:
    candidates = [candidate(1, 0.9826, 0.9756), candidate(2, 0.9791, 0.9721)]
    assert "may be chance" in why(decide(candidates, direction=StudyDirection.MAXIMIZE))
