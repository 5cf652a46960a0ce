"""What another pruner would have done on the recorded learning curves of a study.

The trials run once more, without training, in a study in memory. They start in the order in which they started, and a
trial ends before another one starts if it did so then; what trials reported at the same time is approximated.
"""

import warnings
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lightsweep.trial.status import epochs_of, is_feasible, n_folds_of, status_of

MAX_TRIALS = 500  # of a study; a pruner looks at all former trials each time, so the time grows as their square
MAX_VALUES = 10_000
MAX_STEPS = 200  # of all curves; a longer one is thinned out, because a report takes longer the more came before it


@dataclass(frozen=True, kw_only=True)
class RecordedTrial:
    """A finished trial with its curve by step.

    `n_trained` epochs were trained, and `n_planned` would have been without pruning.
    """

    trial: FrozenTrial
    curve: list[tuple[int, float]]
    n_trained: int
    n_planned: int

    @property
    def start(self) -> datetime:
        return self.trial.datetime_start or self.end

    @property
    def end(self) -> datetime:
        return self.trial.datetime_complete or datetime.max

    @property
    def is_pruned(self) -> bool:
        return status_of(self.trial) == "pruned"

    @property
    def is_candidate(self) -> bool:
        """True if the trial can be the best one."""
        return self.trial.state == TrialState.COMPLETE and is_feasible(self.trial)

    def asks_at(self, step: int) -> bool:
        """True if the pruner is asked after this step: not after the last epoch, or the last fold."""
        return step + 1 != (n_folds_of(self.trial) or epochs_of(self.trial)[1])

    def epochs_until(self, step: int) -> int:
        """Return the number of epochs that are trained up to this step, which may be a fold of several epochs."""
        n_folds = n_folds_of(self.trial)
        return step + 1 if n_folds is None else (step + 1) * (epochs_of(self.trial)[1] or n_folds) // n_folds


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What a pruner would have done.

    `n_unknown` trials were pruned in the search before this pruner would have pruned them; nothing of them counts as
    saved. `best_left` is the best trial that would have completed.
    """

    n_trials: int
    n_pruned: int
    n_unknown: int
    epochs: int
    epochs_saved: int
    best: FrozenTrial | None
    best_left: FrozenTrial | None

    @property
    def loses_best(self) -> bool:
        return self.best is not self.best_left


def max_epochs_of(trials: Sequence[FrozenTrial]) -> int:
    """Return for how many epochs, or folds, the longest training ran or was to run; at least 1. Steps count from 0."""
    known = [n_folds_of(trial) or epochs_of(trial)[1] or 0 for trial in trials]
    reported = [trial.last_step + 1 for trial in trials if trial.last_step is not None]
    return max([*known, *reported, 1])


def recorded_trials(trials: Sequence[FrozenTrial]) -> list[RecordedTrial]:
    """Return the finished trials by their start: the first ones, if there are too many to replay them quickly."""
    longest = max_epochs_of(trials)
    steps = sorted({step for trial in trials for step in trial.intermediate_values})
    kept = set(steps[:: -(-len(steps) // MAX_STEPS) or 1])
    finished = [_recorded(trial, longest=longest, steps=kept) for trial in trials if trial.state.is_finished()]
    finished.sort(key=lambda recorded: (recorded.start, recorded.trial.number))
    n_values = 0
    for n, recorded in enumerate(finished):
        n_values += len(recorded.curve)
        if n == MAX_TRIALS or (n and n_values > MAX_VALUES):
            return finished[:n]
    return finished


def _recorded(trial: FrozenTrial, *, longest: int, steps: Set[int]) -> RecordedTrial:
    n_epochs, max_epochs = epochs_of(trial)
    n_trained = max(n_epochs or 0, -1 if trial.last_step is None else trial.last_step + 1)
    n_planned = max(n_trained, longest if max_epochs is None else max_epochs)
    values = _means_so_far(trial) or trial.intermediate_values
    curve = [(step, values[step]) for step in sorted(values) if step in steps or step == trial.last_step]
    if status_of(trial) != "pruned":
        n_planned = n_trained
    return RecordedTrial(trial=trial, curve=curve, n_trained=n_trained, n_planned=n_planned)


def _means_so_far(trial: FrozenTrial) -> dict[int, float]:
    """Return what other pruners would have got of a trial over folds; `WilcoxonPruner` gets the value of each."""
    of_folds = trial.user_attrs.get("fold_values") if n_folds_of(trial) else None
    return {n: sum(of_folds[: n + 1]) / (n + 1) for n in range(len(of_folds))} if of_folds else {}


def as_recorded(recorded: Sequence[RecordedTrial], *, direction: StudyDirection) -> Replay:
    """Return what the search itself did."""
    best = _best([each for each in recorded if each.is_candidate], direction=direction)
    return Replay(
        n_trials=len(recorded),
        n_pruned=sum(each.is_pruned for each in recorded),
        n_unknown=0,
        epochs=sum(each.n_planned for each in recorded),
        epochs_saved=sum(each.n_planned - each.n_trained for each in recorded),
        best=best,
        best_left=best,
    )


def replay(
    recorded: Sequence[RecordedTrial], pruner: BasePruner, *, direction: StudyDirection, study_name: str
) -> Replay:
    """Ask the pruner at each recorded value, in a study of the same name, by which Hyperband chooses brackets."""
    pruned_after = _pruned_after(recorded, pruner, direction=direction, study_name=study_name)
    pairs = list(zip(recorded, pruned_after, strict=True))
    candidates = [each for each in recorded if each.is_candidate]
    left = [each for each, n_epochs in pairs if each.is_candidate and n_epochs is None]
    return Replay(
        n_trials=len(recorded),
        n_pruned=sum(n_epochs is not None for n_epochs in pruned_after),
        n_unknown=sum(each.is_pruned and n_epochs is None for each, n_epochs in pairs),
        epochs=sum(each.n_planned for each in recorded),
        epochs_saved=sum(max(0, each.n_planned - n) for each, n in pairs if n is not None),
        best=_best(candidates, direction=direction),
        best_left=_best(left, direction=direction),
    )


def _best(candidates: Sequence[RecordedTrial], *, direction: StudyDirection) -> FrozenTrial | None:
    sign = -1 if direction == StudyDirection.MAXIMIZE else 1
    trials = [each.trial for each in candidates]
    return min(trials, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)


def _pruned_after(
    recorded: Sequence[RecordedTrial], pruner: BasePruner, *, direction: StudyDirection, study_name: str
) -> list[int | None]:
    """Return for each trial after how many epochs it is pruned, None if it is not, as far as its curve goes."""
    study = optuna.create_study(study_name=study_name, direction=direction, sampler=RandomSampler(), pruner=pruner)
    pruned_after = []
    running: list[tuple[optuna.Trial, RecordedTrial]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's and Optuna's, of values that are not finite
        for each in recorded:
            for ended in [pair for pair in running if pair[1].end <= each.start]:
                running.remove(ended)
                _tell(study, *ended)
            trial = study.ask()
            pruned_after.append(_epochs_until_pruned(trial, each))
            if pruned_after[-1] is None:
                running.append((trial, each))
            else:
                study.tell(trial, state=TrialState.PRUNED)
    return pruned_after


def _epochs_until_pruned(trial: optuna.Trial, recorded: RecordedTrial) -> int | None:
    for step, value in recorded.curve:
        trial.report(value, step)
        if recorded.asks_at(step) and trial.should_prune():
            return recorded.epochs_until(step)
    return None


def _tell(study: optuna.Study, trial: optuna.Trial, recorded: RecordedTrial) -> None:
    """End a trial as it ended in the search."""
    state = recorded.trial.state
    study.tell(trial, recorded.trial.value if state == TrialState.COMPLETE else None, state=state)
