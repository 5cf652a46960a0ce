"""What has been found so far, kept in two files that are true after every trial."""

import csv
import io
import shlex
import sys
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lightsweep.files import write_atomically
from lightsweep.sweeper.jobs import TrialJobs

COUNTED = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
TABLE = "trials.csv"
RESULTS = "optimization_results.yaml"


class Tally:
    """Counts the finished trials by their state, and knows the best and the epochs that pruning saved."""

    def __init__(self, *, direction: StudyDirection) -> None:
        self.direction = direction
        self.counts = dict.fromkeys(COUNTED.values(), 0)
        self.best: FrozenTrial | None = None
        self.epochs_run = 0
        self.epochs_saved = 0

    def add(self, trial: FrozenTrial) -> None:
        self.counts[COUNTED[trial.state]] += 1
        n_epochs = int(trial.user_attrs.get("n_epochs", 0))
        self.epochs_run += n_epochs
        if trial.state == TrialState.PRUNED:
            self.epochs_saved += max(0, int(trial.user_attrs.get("max_epochs", n_epochs)) - n_epochs)
        if trial.state == TrialState.COMPLETE and self._improves(trial):
            self.best = trial

    def _improves(self, trial: FrozenTrial) -> bool:
        if self.best is None:
            return True
        assert trial.value is not None
        assert self.best.value is not None
        if trial.value == self.best.value:
            return trial.number < self.best.number  # as the report has it, whichever finished first
        return (trial.value > self.best.value) == (self.direction == StudyDirection.MAXIMIZE)

    @property
    def n_finished(self) -> int:
        return sum(self.counts.values())

    def line(self, monitor: str) -> str:
        best = "none complete yet"
        if self.best is not None:
            best = f"best {monitor} {self.best.value:.4f} (trial {self.best.number})"
        return f"{best} · {self.counts['pruned']} pruned · {self.counts['failed']} failed"


class Results:
    """Writes `trials.csv` and `optimization_results.yaml` into the folder of the search."""

    def __init__(self, folder: Path, *, about: dict[str, Any], jobs: TrialJobs, tally: Tally) -> None:
        self.folder = folder
        self.about = about
        self.jobs = jobs
        self.tally = tally
        self.param_names = list(jobs.space.distributions)
        self._lines: dict[int, str] = {}

    def add(self, trial: FrozenTrial) -> None:
        """Take in one finished trial, without writing yet."""
        self.tally.add(trial)
        self._lines[trial.number] = _csv_line(self._row(trial))

    def write(self, **more: Any) -> None:
        """Rewrite both files; each is replaced as a whole."""
        header = ["number", "state", "value", *self.param_names, *ATTRIBUTES, "seconds", "folder"]
        lines = [_csv_line(header), *(self._lines[number] for number in sorted(self._lines))]
        write_atomically(self.folder / TABLE, "".join(lines))
        results = OmegaConf.create({**self.about, **self._best(), **more})
        write_atomically(self.folder / RESULTS, OmegaConf.to_yaml(results))

    def _row(self, trial: FrozenTrial) -> list[Any]:
        seconds = trial.duration.total_seconds() if trial.duration else None
        return [
            trial.number,
            COUNTED[trial.state],
            trial.value,
            *(trial.params.get(name) for name in self.param_names),
            *(trial.user_attrs.get(name) for name in ATTRIBUTES),
            seconds,
            trial.user_attrs.get("folder"),
        ]

    def _best(self) -> dict[str, Any]:
        counts = {"n_trials": {"finished": self.tally.n_finished, **self.tally.counts}}
        best = self.tally.best
        if best is None:
            return counts
        return {
            **counts,
            "best_trial": best.number,
            "best_folder": best.user_attrs.get("folder"),
            "best_value": best.value,
            "best_epoch": best.user_attrs.get("best_epoch"),
            "best_params": dict(best.params),
            "command": self.command(best),
        }

    def command(self, trial: FrozenTrial) -> str:
        """What to type to train this trial again, as one run outside the search."""
        overrides = [*self.jobs.overrides(trial.params), "hydra.mode=RUN"]
        return shlex.join(["python", sys.argv[0], *overrides])


ATTRIBUTES = ["best_epoch", "n_epochs", "max_epochs", "pruned_reason", "fail_reason"]


def _csv_line(row: list[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(row)
    return out.getvalue()
