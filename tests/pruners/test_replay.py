"""The replay of recorded curves by other pruners: hand-made curves, and real searches."""

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial

import optuna
import pytest
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
)
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightsweep.pruners.replay import (
    MAX_STEPS,
    MAX_TRIALS,
    MAX_VALUES,
    Replay,
    as_recorded,
    max_epochs_of,
    recorded_trials,
    replay,
)

MAXIMIZE, MINIMIZE = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
MEDIAN = MedianPruner(n_startup_trials=2)
HALVING = SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
NAN = math.nan


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def study_of(
    *curves: Sequence[float],
    n_planned: int = 3,
    workers: int = 1,
    infeasible: int | None = None,
    **changes: TrialState,
) -> list[FrozenTrial]:
    """Return trials with these curves; a curve shorter than `n_planned` is that of a trial that was pruned.

    `workers` trials run at a time: they start together, and take a minute. `changes` are states by `t<number>`.
    """
    trials = []
    for number, curve in enumerate(curves):
        state = TrialState.COMPLETE if len(curve) == n_planned else TrialState.PRUNED
        state = changes.get(f"t{number}", state)
        trial = create_trial(
            state=state,
            value=curve[-1] if state == TrialState.COMPLETE else None,
            intermediate_values=dict(enumerate(curve)),
            user_attrs={"n_epochs": len(curve), "max_epochs": n_planned},
            constraints={"feasibility": 1.0} if number == infeasible else {},
        )
        trial.number = number
        trial.datetime_start = datetime(2026, 1, 1) + timedelta(minutes=number // workers)
        trial.datetime_complete = trial.datetime_start + timedelta(minutes=1)
        trials.append(trial)
    return trials


def replayed(trials: Sequence[FrozenTrial], pruner: BasePruner, direction: StudyDirection = MAXIMIZE) -> Replay:
    return replay(recorded_trials(trials), pruner, direction=direction, study_name="mlp")


def numbers(replay: Replay) -> tuple[int, int, int, int]:
    return replay.n_pruned, replay.epochs_saved, replay.epochs, replay.n_unknown


GOOD, MIDDLE, BAD = (0.6, 0.7, 0.8), (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)
LATE = (0.1, 0.2, 0.9)  # the best one in the end


@pytest.mark.parametrize(
    ("curves", "pruner", "expected", "best", "best_left"),
    [
        pytest.param([GOOD, MIDDLE, BAD], MEDIAN, (1, 2, 9, 0), 0, 0, id="the median prunes after the first epoch"),
        pytest.param([GOOD, MIDDLE, LATE], MEDIAN, (1, 2, 9, 0), 2, 0, id="the median loses the best trial"),
        pytest.param([GOOD, MIDDLE, BAD], MedianPruner(3), (0, 0, 9, 0), 0, 0, id="it starts after three trials"),
        pytest.param([GOOD, BAD, MIDDLE], HALVING, (2, 2, 9, 0), 0, 0, id="halving prunes at the end of a rung"),
        pytest.param([GOOD, LATE], HALVING, (1, 1, 6, 0), 1, 0, id="halving loses the best trial"),
        pytest.param([GOOD, BAD], ThresholdPruner(lower=0.3), (1, 2, 6, 0), 0, 0, id="the threshold"),
        pytest.param([BAD, LATE], ThresholdPruner(lower=0.3), (2, 4, 6, 0), 1, None, id="it leaves no trial"),
        pytest.param([GOOD, MIDDLE, BAD], NopPruner(), (0, 0, 9, 0), 0, 0, id="no pruner"),
        pytest.param([GOOD, MIDDLE, BAD[:2]], MEDIAN, (1, 2, 9, 0), 0, 0, id="earlier than the search itself"),
        pytest.param([GOOD, MIDDLE, BAD[:1]], NopPruner(), (0, 0, 9, 1), 0, 0, id="not known what would have come"),
        pytest.param([GOOD, (NAN,), BAD], ThresholdPruner(lower=0), (1, 2, 9, 0), 0, 0, id="NaN"),
        pytest.param([GOOD, MIDDLE, (NAN, NAN)], MEDIAN, (1, 2, 9, 0), 0, 0, id="NaN and the median"),
        pytest.param([GOOD, (NAN, NAN), MIDDLE], HALVING, (2, 2, 9, 0), 0, 0, id="NaN and halving"),
        pytest.param([(), (), ()], MEDIAN, (0, 0, 9, 3), None, None, id="no values"),
        pytest.param([], MEDIAN, (0, 0, 0, 0), None, None, id="no trials"),
    ],
)
@pytest.mark.parametrize("direction", [MAXIMIZE, MINIMIZE])
def test_a_pruner_is_judged_by_the_recorded_curves(
    curves: list[tuple[float, ...]],
    pruner: BasePruner,
    expected: tuple[int, int, int, int],
    best: int | None,
    best_left: int | None,
    direction: StudyDirection,
) -> None:
    if direction == MINIMIZE and not isinstance(pruner, ThresholdPruner):  # a threshold has no direction
        curves = [tuple(-value for value in curve) for curve in curves]
    elif isinstance(pruner, ThresholdPruner):
        direction = MAXIMIZE
    result = replayed(study_of(*curves), pruner, direction)
    assert numbers(result) == expected
    assert (result.best and result.best.number, result.best_left and result.best_left.number) == (best, best_left)
    assert result.loses_best == (best != best_left)


def test_failed_and_infeasible_trials_are_as_long_as_they_were_and_never_the_best() -> None:
    trials = study_of(GOOD, MIDDLE, LATE[:2], (0.9,), infeasible=2, t3=TrialState.FAIL)
    result = replayed(trials, MEDIAN)
    assert numbers(result) == (1, 1, 9, 0)
    assert as_recorded(recorded_trials(trials), direction=MAXIMIZE).epochs_saved == 0
    assert result.best is trials[0]


def test_a_trial_that_had_not_ended_is_not_compared_with() -> None:
    assert replayed(study_of(GOOD, MIDDLE, BAD), MEDIAN).n_pruned == 1
    assert replayed(study_of(GOOD, MIDDLE, BAD, workers=3), MEDIAN).n_pruned == 0


def test_after_the_last_epoch_of_a_training_the_pruner_is_not_asked() -> None:
    curves = [GOOD, MIDDLE, (0.9, 0.9, 0.0)]
    above = ThresholdPruner(lower=0.1)
    assert replayed(study_of(*curves), above).n_pruned == 0
    stopped_early = study_of(*curves, n_planned=4, **{f"t{n}": TrialState.COMPLETE for n in range(3)})
    assert replayed(stopped_early, above).n_pruned == 1


def test_of_a_study_of_another_tool_the_longest_curve_is_what_was_planned() -> None:
    trials = [
        create_trial(value=0.8, intermediate_values=dict(enumerate(GOOD))),
        create_trial(state=TrialState.PRUNED, intermediate_values={0: 0.1}),
        create_trial(state=TrialState.PRUNED, user_attrs={"n_epochs": "many", "max_epochs": None}),
    ]
    assert max_epochs_of(trials) == 3
    result = as_recorded(recorded_trials(trials), direction=MAXIMIZE)
    assert (result.epochs, result.epochs_saved, result.n_pruned) == (9, 5, 2)


def test_the_first_trials_of_a_large_study_are_replayed() -> None:
    few = study_of(*[GOOD] * (MAX_TRIALS + 1))
    assert [each.trial.number for each in recorded_trials(few)] == list(range(MAX_TRIALS))
    long = study_of(*[[0.5] * MAX_STEPS] * 60, n_planned=MAX_STEPS)
    assert len(recorded_trials(long)) == MAX_VALUES / MAX_STEPS


def test_of_long_curves_the_same_steps_and_the_last_one_are_replayed() -> None:
    trials = study_of([0.5] * 1000, [0.5] * 998, [], n_planned=1000)
    curves = [[step for step, _ in each.curve] for each in recorded_trials(trials)]
    assert curves == [[*range(0, 1000, 5), 999], [*range(0, 1000, 5), 997], []]
    assert as_recorded(recorded_trials(trials), direction=MAXIMIZE).epochs == 3000


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize(
    "build",
    [
        MedianPruner,
        partial(PercentilePruner, 25.0),
        partial(SuccessiveHalvingPruner, min_resource=1, reduction_factor=3),
        partial(HyperbandPruner, min_resource=1, max_resource=6, reduction_factor=3),
        lambda: PatientPruner(MedianPruner(), patience=1),
        partial(ThresholdPruner, lower=0.2),
        NopPruner,
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning", "ignore:All-NaN slice")
def test_the_pruner_of_a_search_does_in_the_replay_what_it_did_there(
    build: Callable[[], BasePruner], direction: str
) -> None:
    sampler = RandomSampler(seed=1)
    study = optuna.create_study(study_name="real", direction=direction, sampler=sampler, pruner=build())

    def objective(trial: optuna.Trial) -> float:
        height, speed = trial.suggest_float("height", 0, 1), trial.suggest_float("speed", 0.1, 2)
        trial.set_user_attr("max_epochs", 6)
        if trial.number == 9:
            raise ArithmeticError
        for epoch in range(6):
            value = height * (1 - math.exp(-speed * (epoch + 1))) + 0.1 * math.sin(37 * height + 5 * epoch)
            trial.report(value if trial.number != 7 else NAN, epoch)
            trial.set_user_attr("n_epochs", epoch + 1)
            if epoch < 5 and trial.should_prune():
                raise optuna.TrialPruned
        return value

    study.optimize(objective, n_trials=40, catch=ArithmeticError)
    recorded = recorded_trials(study.trials)
    real = as_recorded(recorded, direction=study.direction)
    again = replay(recorded, build(), direction=study.direction, study_name="real")
    assert again == real
    assert (real.n_pruned > 0) == (build is not NopPruner)


def test_of_folds_a_pruner_gets_the_mean_so_far_and_a_fold_counts_as_its_epochs() -> None:
    def over_folds(*values: float) -> FrozenTrial:
        attrs = {"n_folds": 4, "n_epochs": 20, "max_epochs": 20, "fold_values": list(values)}
        curve = dict(enumerate(values))  # of Wilcoxon's pruner, which gets each fold
        return create_trial(value=sum(values) / 4, intermediate_values=curve, user_attrs=attrs)

    trials = [over_folds(0.9, 0.9, 0.9, 0.9), over_folds(0.95, 0.5, 0.9, 0.9)]
    assert [value for _, value in recorded_trials(trials)[1].curve] == pytest.approx([0.95, 0.725, 0.783333, 0.8125])
    result = replay(
        recorded_trials(trials), ThresholdPruner(lower=0.8), direction=StudyDirection.MAXIMIZE, study_name="folds"
    )
    assert (result.n_pruned, result.epochs_saved, result.epochs) == (1, 10, 40)
