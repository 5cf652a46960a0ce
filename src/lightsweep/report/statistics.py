"""Running counts of the finished trials of a study."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import sqrt

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from lightsweep.pareto import ParetoFront
from lightsweep.report.formatting import format_duration
from lightsweep.trial.pruner import AUDITED
from lightsweep.trial.status import (
    FAIL_KIND,
    STATUSES,
    epochs_of,
    is_feasible,
    seconds_per_epoch_of,
    status_of,
    value_of,
)

Z = 1.96  # the normal 97.5 % quantile


class StudyStatistics:
    """Trials by status, failures by kind, the Pareto front, and the epochs and seconds that pruning saved."""

    def __init__(self, *, directions: Sequence[StudyDirection]) -> None:
        self.directions = directions
        self.counts = dict.fromkeys(STATUSES, 0)
        self.failure_kinds: Counter[str] = Counter()
        self.front = ParetoFront(directions)
        self.audited: list[FrozenTrial] = []
        self._others = ParetoFront(directions)  # of the trials that are not audited
        self.epochs_run = 0
        self.epochs_saved = 0
        self.seconds_saved = 0.0

    @classmethod
    def of(cls, trials: Iterable[FrozenTrial], *, directions: Sequence[StudyDirection]) -> "StudyStatistics":
        """Count those that are finished."""
        statistics = cls(directions=directions)
        for trial in trials:
            if trial.state.is_finished():
                statistics.add(trial)
        return statistics

    @property
    def n_finished(self) -> int:
        return sum(self.counts.values())

    @property
    def best(self) -> FrozenTrial | None:
        """The trial with the best value of the first objective; of equal ones that with the lowest number."""
        return self.front.best

    def add(self, trial: FrozenTrial) -> None:
        status = status_of(trial)
        self.counts[status] += 1
        if kind := trial.user_attrs.get(FAIL_KIND):
            self.failure_kinds[str(kind)] += 1
        n_epochs, max_epochs = epochs_of(trial)
        n_epochs = n_epochs or 0
        self.epochs_run += n_epochs
        if status == "pruned":
            n_saved = max(0, (max_epochs or 0) - n_epochs)
            self.epochs_saved += n_saved
            self.seconds_saved += n_saved * seconds_per_epoch_of(trial)
        if status != "complete" or not is_feasible(trial):
            return
        self.front.add(trial)
        if AUDITED in trial.user_attrs:
            self.audited.append(trial)
        else:
            self._others.add(trial)

    def one_line(self, monitor: str) -> str:
        best = "none complete yet"
        if self.best is not None:
            best = f"best {monitor} {value_of(self.best):.4f} (trial {self.best.number}){self._size_of_front()}"
        infeasible = f" · {self.counts['infeasible']} infeasible" if self.counts["infeasible"] else ""
        return f"{best} · {self.counts['pruned']} pruned{infeasible} · {self.counts['failed']} failed"

    def _size_of_front(self) -> str:
        return f" · Pareto front of {len(self.front.trials)}" if len(self.directions) > 1 else ""

    def overview(self, monitor: str) -> dict[str, str]:
        """Return the labels and texts that open the report and the summary of the search."""
        counts = ", ".join(f"{n} {status}" for status, n in self.counts.items() if n or status != "infeasible")
        overview = {"Finished trials": f"{self.n_finished} ({counts})"}
        if self.failure_kinds:
            overview["Failures"] = ", ".join(f"{n} {kind}" for kind, n in self.failure_kinds.most_common())
        if self.best is not None:
            overview[f"Best {monitor}"] = f"{value_of(self.best):.4f} (trial {self.best.number})"
        total = self.epochs_run + self.epochs_saved
        if total and len(self.directions) == 1:  # several objectives are never pruned
            seconds = f", about {format_duration(self.seconds_saved)} of training" if self.seconds_saved else ""
            overview["Saved by pruning"] = f"{self.epochs_saved} of {total} epochs{seconds}"
        if self.audited:
            overview["Audit of pruning"] = self.audit_in_words()
        return overview

    def audit_in_words(self) -> str:
        """Return what became of the trials that would have been pruned; there must be some."""
        return audit_in_words(self.audited, self._others.best, direction=self.directions[0])


def wilson_interval(k: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of `k` in `n` (Wilson, JASA 22, 1927)."""
    center, width = (k + Z**2 / 2) / (n + Z**2), Z * sqrt(k * (n - k) / n + Z**2 / 4) / (n + Z**2)
    return max(0.0, center - width), min(1.0, center + width)


def audit_in_words(
    audited: Sequence[FrozenTrial], best_of_others: FrozenTrial | None, *, direction: StudyDirection
) -> str:
    """Say how many of the audited trials were better in the end than the best trial that the pruner let pass."""
    sign = 1 if direction == StudyDirection.MAXIMIZE else -1
    values = [sign * value_of(trial) for trial in audited]
    limit = None if best_of_others is None else sign * value_of(best_of_others)
    n_wrong = sum(limit is None or value > limit for value in values)
    low, high = wilson_interval(n_wrong, len(values))
    best = audited[values.index(max(values))]
    trials = f"{len(values)} trial{'s' if len(values) > 1 else ''} that would have been pruned"
    share = f"95 % interval of the share {100 * low:.0f} to {100 * high:.0f} %"
    return (
        f"of {trials} and ran to the end, {n_wrong} became the best ({share}); the best of them is {value_of(best):.4f}"
        f" (trial {best.number})"
    )
