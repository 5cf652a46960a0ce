"""Counts, epochs and the best of the finished trials."""

from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lightsweep.report.statistics import StudyStatistics


def finished(number: int, value: float | None, state: TrialState = TrialState.COMPLETE, **attrs: Any) -> FrozenTrial:
    trial = optuna.trial.create_trial(
        state=state, value=value, params={"x": 0.5}, distributions={"x": FloatDistribution(0, 1)}, user_attrs=attrs
    )
    trial.number = number
    return trial


@pytest.mark.parametrize(
    ("direction", "values", "best"),
    [
        ("maximize", [0.1, 0.3, 0.2], 1),
        ("minimize", [0.2, 0.3, 0.1], 2),
        ("maximize", [0.3, 0.3], 0),
        ("minimize", [0.0, -1.0, -1.0], 1),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_of_equal_values_the_lowest_number_is_the_best_in_any_order(
    direction: str, values: list[float], best: int, reverse: bool
) -> None:
    statistics = StudyStatistics(directions=[StudyDirection[direction.upper()]])
    trials = [finished(number, value) for number, value in enumerate(values)]
    for trial in reversed(trials) if reverse else trials:
        statistics.add(trial)
    assert statistics.best is not None
    assert statistics.best.number == best


def test_several_objectives_have_a_front() -> None:
    statistics = StudyStatistics(directions=[StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE])
    for number, values in enumerate([(0.5, 10.0), (0.6, 20.0), (0.6, 15.0)]):
        trial = finished(number, None, TrialState.FAIL)
        trial.state, trial.values = TrialState.COMPLETE, values
        statistics.add(trial)
    assert statistics.one_line("val/acc").startswith("best val/acc 0.6000 (trial 2) · Pareto front of 2 · 0 pruned")


def test_pruned_and_failed_trials_are_counted_but_never_the_best() -> None:
    statistics = StudyStatistics(directions=[StudyDirection.MAXIMIZE])
    statistics.add(finished(0, 0.9, TrialState.PRUNED, n_epochs=2, max_epochs=5))
    statistics.add(finished(1, None, TrialState.FAIL))
    assert statistics.best is None
    statistics.add(finished(2, 0.1, n_epochs=5, max_epochs=5))
    assert statistics.best is not None
    assert statistics.best.number == 2
    assert statistics.counts == {"complete": 1, "pruned": 1, "infeasible": 0, "failed": 1}
    assert (statistics.epochs_run, statistics.epochs_saved) == (7, 3)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "5 of 14 epochs, about 2.5 s of training"),
        (30, "5 of 14 epochs, about 2 min 30 s of training"),
        (None, "5 of 14 epochs"),  # of an earlier version, which did not measure them
        ("fast", "5 of 14 epochs"),
        (float("nan"), "5 of 14 epochs"),
    ],
)
def test_the_seconds_saved_are_those_of_the_trials_own_epochs(seconds: Any, text: str) -> None:
    trials = [
        finished(0, 0.1, n_epochs=5, max_epochs=5),
        finished(1, 0.2, TrialState.PRUNED, n_epochs=2, max_epochs=5, seconds_per_epoch=seconds),
        finished(2, 0.3, TrialState.PRUNED, n_epochs=2, max_epochs=4, seconds_per_epoch=seconds),
    ]
    statistics = StudyStatistics.of(trials, directions=[StudyDirection.MAXIMIZE])
    assert statistics.overview("val/acc")["Saved by pruning"] == text
