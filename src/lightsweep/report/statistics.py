"""Running counts of the finished trials of a study."""

from collections import Counter

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from lightsweep.trial.status import FAIL_KIND, STATUSES, epochs_of, is_feasible, status_of


class StudyStatistics:
    """Trials by status, failures by kind, the best trial, and the epochs that pruning saved."""

    def __init__(self, *, direction: StudyDirection) -> None:
        self.direction = direction
        self.counts = dict.fromkeys(STATUSES, 0)
        self.failure_kinds: Counter[str] = Counter()
        self.best: FrozenTrial | None = None
        self.epochs_run = 0
        self.epochs_saved = 0

    @classmethod
    def of(cls, study: optuna.Study) -> "StudyStatistics":
        """Count all finished trials of a study."""
        statistics = cls(direction=study.direction)
        for trial in study.get_trials(deepcopy=False):
            if trial.state.is_finished():
                statistics.add(trial)
        return statistics

    @property
    def n_finished(self) -> int:
        return sum(self.counts.values())

    def add(self, trial: FrozenTrial) -> None:
        status = status_of(trial)
        self.counts[status] += 1
        if kind := trial.user_attrs.get(FAIL_KIND):
            self.failure_kinds[str(kind)] += 1
        n_epochs, max_epochs = epochs_of(trial)
        n_epochs = n_epochs or 0
        self.epochs_run += n_epochs
        if status == "pruned":
            self.epochs_saved += max(0, (max_epochs or 0) - n_epochs)
        if status == "complete" and is_feasible(trial) and self._is_better(trial):
            self.best = trial

    def _is_better(self, trial: FrozenTrial) -> bool:
        """Compare with the best trial; of equal values the lower number wins, in whatever order the trials finish."""
        if self.best is None:
            return True
        assert trial.value is not None
        assert self.best.value is not None
        if trial.value == self.best.value:
            return trial.number < self.best.number
        return (trial.value > self.best.value) == (self.direction == StudyDirection.MAXIMIZE)

    def one_line(self, monitor: str) -> str:
        best = "none complete yet"
        if self.best is not None:
            best = f"best {monitor} {self.best.value:.4f} (trial {self.best.number})"
        infeasible = f" · {self.counts['infeasible']} infeasible" if self.counts["infeasible"] else ""
        return f"{best} · {self.counts['pruned']} pruned{infeasible} · {self.counts['failed']} failed"

    def overview(self, monitor: str) -> dict[str, str]:
        """Return the labels and texts that open the report and the summary of the search."""
        counts = ", ".join(f"{n} {status}" for status, n in self.counts.items() if n or status != "infeasible")
        overview = {"Finished trials": f"{self.n_finished} ({counts})"}
        if self.failure_kinds:
            overview["Failures"] = ", ".join(f"{n} {kind}" for kind, n in self.failure_kinds.most_common())
        if self.best is not None:
            overview[f"Best {monitor}"] = f"{self.best.value:.4f} (trial {self.best.number})"
        if total := self.epochs_run + self.epochs_saved:
            overview["Saved by pruning"] = f"{self.epochs_saved} of {total} epochs"
        return overview
