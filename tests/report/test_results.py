"""The count of the trials, which of them is the best, and the files that say so."""

from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lightsweep.report.results import TABLE, Results
from lightsweep.report.statistics import StudyStatistics
from tests.command import rows_of


def finished(number: int, value: float | None, state: TrialState = TrialState.COMPLETE, **attrs: int) -> FrozenTrial:
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
@pytest.mark.parametrize("backwards", [False, True])
def test_the_best_is_the_first_of_the_best_values_in_whatever_order_they_finish(
    direction: str, values: list[float], best: int, backwards: bool
) -> None:
    statistics = StudyStatistics(direction=StudyDirection[direction.upper()])
    trials = [finished(number, value) for number, value in enumerate(values)]
    for trial in reversed(trials) if backwards else trials:
        statistics.add(trial)
    assert statistics.best is not None
    assert statistics.best.number == best


def test_pruned_and_failed_trials_are_counted_and_never_the_best() -> None:
    statistics = StudyStatistics(direction=StudyDirection.MAXIMIZE)
    statistics.add(finished(0, 0.9, TrialState.PRUNED, n_epochs=2, max_epochs=5))
    statistics.add(finished(1, None, TrialState.FAIL))
    assert statistics.best is None
    statistics.add(finished(2, 0.1, n_epochs=5, max_epochs=5))
    assert statistics.best is not None
    assert statistics.best.number == 2
    assert statistics.counts == {"complete": 1, "pruned": 1, "infeasible": 0, "failed": 1}
    assert (statistics.epochs_run, statistics.epochs_saved) == (7, 3)


def test_what_another_driver_has_finished_is_taken_in_once(tmp_path: Path) -> None:
    study = optuna.create_study()
    statistics = StudyStatistics(direction=study.direction)
    results = Results(tmp_path, about={}, param_names=["x"], overrides_of=list, statistics=statistics)
    running = study.ask()
    study.tell(study.ask(), 0.5)
    assert [t.number for t in results.sync(study)] == [1]
    study.tell(study.ask(), 0.1)
    study.tell(running, 0.3)
    assert [t.number for t in results.sync(study)] == [0, 2]
    assert results.sync(study) == []
    results.write()
    assert [row["number"] for row in rows_of(tmp_path / TABLE)] == ["0", "1", "2"]
    assert results.statistics.n_finished == 3
    assert results.statistics.best is not None
    assert results.statistics.best.number == 2
