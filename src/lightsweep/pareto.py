"""Several objectives: the trials that no other one dominates, and the rule that chooses the one to export."""

import bisect
from collections.abc import Iterable, Sequence

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from lightsweep.direction import BEST_OF_FIRST, KNEE, objective_text

SHIP = "lightsweep:ship"  # the user attribute of a study with the value of `ship`

Losses = tuple[float, ...]  # a value per objective; smaller is better


class ParetoFront:
    """The trials of which no other one is at least as good in all objectives and better in one.

    As in Optuna's `study.best_trials`, trials with equal values are all on it. `trials` begins with the best value of
    the first objective; equal ones are in the order of the next objectives, and then of their numbers. With a single
    objective these are the trials with the best value.
    """

    def __init__(self, directions: Sequence[StudyDirection]) -> None:
        self.directions = directions
        self._by_losses: dict[Losses, list[FrozenTrial]] = {}  # of equal trials in the order of their numbers

    @property
    def trials(self) -> list[FrozenTrial]:
        by_losses = self._by_losses
        return [trial for losses in sorted(by_losses) for trial in by_losses[losses]]

    @property
    def best(self) -> FrozenTrial | None:
        """The trial with the best value of the first objective."""
        return self.chosen(BEST_OF_FIRST)

    def add(self, trial: FrozenTrial) -> list[FrozenTrial]:
        """Add a complete trial. Return those that are not, or no longer, on the front."""
        losses = self._losses(trial)
        if any(_dominates(other, losses) for other in self._by_losses):
            return [trial]
        kept = {other: equal for other, equal in self._by_losses.items() if not _dominates(losses, other)}
        gone = [each for other, equal in self._by_losses.items() if other not in kept for each in equal]
        bisect.insort(kept.setdefault(losses, []), trial, key=lambda each: each.number)
        self._by_losses = kept  # replaced as a whole, because another thread shows the progress
        return gone

    def chosen(self, rule: str) -> FrozenTrial | None:
        """Return the trial that the rule `ship` chooses, None if there is no trial.

        `best_of_first` is the best value of the first objective. `knee` is the smallest sum of the losses, each scaled
        to [0, 1] over the front. With two objectives that trial is the farthest from the line between the two ends of
        the front: the knee of Das, "On characterizing the 'knee' of the Pareto curve based on Normal-Boundary
        Intersection" (Structural Optimization 18, 1999). Of equal sums the best value of the first objective wins.
        """
        assert rule in (BEST_OF_FIRST, KNEE)
        by_losses = self._by_losses
        if not by_losses:
            return None
        best = min(by_losses)
        if rule == KNEE:
            ends = [(min(column), max(column)) for column in zip(*by_losses, strict=True)]
            best = min(by_losses, key=lambda losses: (sum(map(_scaled, losses, ends)), losses))
        return by_losses[best][0]

    def rows(self, names: Sequence[str], *, rule: str) -> list[tuple[str, ...]]:
        """Return the front as a table: a header, and a row per trial. A mark is behind the one that `rule` chooses."""
        marks = {trial.number: f"ship={rule}" for trial in [self.chosen(rule)] if trial is not None}
        rows = [
            (str(trial.number), *map(objective_text, trial.values), marks.get(trial.number, ""))
            for trial in self.trials
        ]
        return [("trial", *names, ""), *rows]

    @classmethod
    def of(cls, trials: Iterable[FrozenTrial], directions: Sequence[StudyDirection]) -> "ParetoFront":
        """Return the front of complete trials."""
        front = cls(directions)
        for trial in trials:
            front.add(trial)
        return front

    def _losses(self, trial: FrozenTrial) -> Losses:
        signs = [-1 if direction == StudyDirection.MAXIMIZE else 1 for direction in self.directions]
        return tuple(sign * value for sign, value in zip(signs, trial.values, strict=True))


def further_objectives(study: Study) -> list[str]:
    """Return the names of the objectives after the first one, which is the monitored metric."""
    n_objectives = len(study.directions)
    names = study.metric_names or [f"value {i + 1}" for i in range(n_objectives)]
    return names[1:]


def rule_of(study: Study) -> str:
    """Return how the trial to export is chosen. A study of another tool does not say it."""
    rule = study.user_attrs.get(SHIP)
    return rule if rule in (BEST_OF_FIRST, KNEE) else BEST_OF_FIRST


def _dominates(a: Losses, b: Losses) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def _scaled(loss: float, ends: tuple[float, float]) -> float:
    low, high = ends
    return (loss - low) / (high - low) if high > low else 0.0
