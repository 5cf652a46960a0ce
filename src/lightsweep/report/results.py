"""What has been found so far, kept in two files that are true after every trial."""

import csv
import io
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from omegaconf import OmegaConf
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from lightsweep.config.command_line import config_dir_in
from lightsweep.files import write_atomically, yaml_of
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.status import FAIL_KIND, FAIL_REASON, STATUSES, status_of

TABLE = "trials.csv"
RESULTS = "optimization_results.yaml"


class StudyStatistics:
    """Counts the finished trials by their state, and knows the best and the epochs that pruning saved."""

    def __init__(self, *, direction: StudyDirection) -> None:
        self.direction = direction
        self.counts = dict.fromkeys(STATUSES, 0)
        self.kinds: Counter[str] = Counter()
        self.best: FrozenTrial | None = None
        self.epochs_run = 0
        self.epochs_saved = 0

    def add(self, trial: FrozenTrial) -> None:
        fate = status_of(trial)
        self.counts[fate] += 1
        if kind := trial.user_attrs.get(FAIL_KIND):
            self.kinds[kind] += 1
        n_epochs = int(trial.user_attrs.get("n_epochs", 0))
        self.epochs_run += n_epochs
        if fate == "pruned":
            self.epochs_saved += max(0, int(trial.user_attrs.get("max_epochs", n_epochs)) - n_epochs)
        if fate == "complete" and self._improves(trial):
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
        infeasible = f" · {self.counts['infeasible']} infeasible" if self.counts["infeasible"] else ""
        return f"{best} · {self.counts['pruned']} pruned{infeasible} · {self.counts['failed']} failed"


class Results:
    """Writes `trials.csv` and `optimization_results.yaml` into the folder of the search."""

    def __init__(
        self,
        folder: Path,
        *,
        about: dict[str, Any],
        param_names: Sequence[str],
        overrides_of: Callable[[Mapping[str, Any]], list[str]],
        statistics: StudyStatistics,
    ) -> None:
        self.folder = folder
        self.about = about
        self.overrides_of = overrides_of
        self.statistics = statistics
        self.param_names = param_names
        self._lines: dict[int, str] = {}

    def sync(self, study: optuna.Study) -> list[FrozenTrial]:
        """Add the finished trials that are not known yet, and give them; other drivers of the study run some, too."""
        new = [t for t in study.get_trials(deepcopy=False) if t.number not in self._lines and t.state.is_finished()]
        for trial in new:
            self.statistics.add(trial)
            self._lines[trial.number] = _csv_line(self._row(trial))
        return new

    def write(self, *, durable: bool = True, **more: Any) -> None:
        """Rewrite both files; each is replaced as a whole. The study has all that is in them."""
        header = ["number", "state", "value", *self.param_names, *ATTRIBUTES, "seconds", "folder"]
        lines = [_csv_line(header), *(self._lines[number] for number in sorted(self._lines))]
        write_atomically(self.folder / TABLE, "".join(lines), durable=durable)
        write_atomically(self.folder / RESULTS, yaml_of({**self.about, **self._best(), **more}), durable=durable)

    def _row(self, trial: FrozenTrial) -> list[Any]:
        seconds = trial.duration.total_seconds() if trial.duration else None
        return [
            trial.number,
            status_of(trial),
            trial.value,
            *(trial.params.get(name) for name in self.param_names),
            *(trial.user_attrs.get(name) for name in ATTRIBUTES),
            seconds,
            trial.user_attrs.get("folder"),
        ]

    def _best(self) -> dict[str, Any]:
        counts: dict[str, Any] = {"n_trials": {"finished": self.statistics.n_finished, **self.statistics.counts}}
        if self.statistics.kinds:
            counts["failures"] = dict(self.statistics.kinds)
        best = self.statistics.best
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
        overrides = [*self.overrides_of(trial.params), "hydra.mode=RUN"]
        return shlex.join(["python", sys.argv[0], *config_dir_in(sys.argv[1:]), *overrides])


def shipped_record(best: FrozenTrial | None, shipped: Outcome | None) -> dict[str, Any]:
    """What the results file says of the shipped model."""
    if best is None or shipped is None:
        return {"shipped": None}
    return {"shipped_trial": best.number, "shipped": shipped.test_metrics}


def read_results(folder: Path) -> dict[str, Any]:
    """What is known of a search that has a best trial; empty if that can't be read."""
    try:
        results: Any = OmegaConf.to_container(OmegaConf.load(folder / RESULTS))
        return dict(results) if "best_trial" in results else {}
    except Exception:  # noqa: BLE001  (only the card of the model knows less)
        return {}


def read_shipped(folder: Path) -> dict[str, Any]:
    """What an earlier start of this search has shipped; empty if nothing, or if the file can't be read."""
    try:
        results: Any = OmegaConf.load(folder / RESULTS)
        return {"shipped_trial": int(results.shipped_trial), "shipped": dict(results.shipped)}
    except Exception:  # noqa: BLE001  (then it is shipped again)
        return {}


ATTRIBUTES = ["best_epoch", "n_epochs", "max_epochs", "pruned_reason", FAIL_KIND, FAIL_REASON]


def _csv_line(row: list[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(row)
    return out.getvalue()
