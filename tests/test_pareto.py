"""The Pareto front, and the rules that choose a trial from it."""

import random
from collections.abc import Sequence

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import create_trial

from lightsweep.pareto import ParetoFront

MAX, MIN = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE


def front_of(*values: Sequence[float], directions: Sequence[StudyDirection] = (MAX, MIN)) -> ParetoFront:
    front = ParetoFront(directions)
    for number, each in enumerate(values):
        trial = create_trial(values=list(each))
        trial.number = number
        front.add(trial)
    return front


@pytest.mark.parametrize("directions", [[MAX], [MAX, MIN], [MIN, MIN], [MAX, MIN, MAX]])
@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_that_of_optuna(directions: list[StudyDirection], seed: int) -> None:
    draw = random.Random(seed)
    study = optuna.create_study(directions=directions)
    for _ in range(40):
        study.add_trial(create_trial(values=[float(draw.randint(0, 6)) for _ in directions]))
    front = ParetoFront.of(study.trials, directions)
    assert front.best is front.trials[0]
    if len(directions) > 1:
        assert sorted(trial.number for trial in front.trials) == [trial.number for trial in study.best_trials]
    else:
        assert front.best.values == study.best_trial.values


def test_what_leaves_the_front_is_returned() -> None:
    front = front_of((0.5, 10), (0.6, 20))
    worse, better = create_trial(values=[0.4, 10.0]), create_trial(values=[0.6, 10.0])
    assert front.add(worse) == [worse]
    assert {trial.number for trial in front.add(better)} == {0, 1}
    assert front.trials == [better]


@pytest.mark.parametrize(
    ("values", "best_of_first", "knee"),
    [
        # Scaled losses (0, 1), (0.1, 0.1), (1, 0): the second is the farthest from the line between the others.
        ([(1.0, 100), (0.9, 10), (0.0, 0)], 0, 1),
        # On the line, and beyond it: there is no knee, and the best of the first wins.
        ([(0.0, 0), (0.5, 50), (1.0, 100)], 2, 2),
        ([(0.0, 0), (0.4, 50), (1.0, 100)], 2, 2),
        ([(0.5, 50), (0.6, 60)], 1, 1),
        ([(0.5, 50)], 0, 0),
        # Dominated trials do not count for the scale; of equal values the first objective's next one decides.
        ([(1.0, 100), (0.9, 10), (0.0, 0), (-9.0, 5000)], 0, 1),
        ([(1.0, 100), (1.0, 90), (1.0, 90)], 1, 1),
    ],
)
def test_the_rule_chooses_one_trial(values: list[tuple[float, float]], best_of_first: int, knee: int) -> None:
    front = front_of(*values)
    numbers = [chosen.number for rule in ("best_of_first", "knee") if (chosen := front.chosen(rule))]
    assert numbers == [best_of_first, knee]
    assert [row[-1] for row in front.rows(["acc", "n"], rule="knee")].count("ship=knee") == 1


def test_an_empty_front_has_no_trial_to_choose() -> None:
    assert front_of().chosen("knee") is None
    assert front_of().rows(["acc", "n"], rule="knee") == [("trial", "acc", "n", "")]


def test_the_values_are_written_as_people_read_them() -> None:
    assert front_of((0.93, 26122.0)).rows(["acc", "n"], rule="knee")[1] == ("0", "0.9300", "26,122", "ship=knee")
