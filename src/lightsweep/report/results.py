"""The result files of a search, `trials.csv` and `optimization_results.yaml`, rewritten after each trial."""

import csv
import io
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import optuna
from omegaconf import OmegaConf
from optuna.trial import FrozenTrial

from lightsweep.config.command_line import config_dir_in
from lightsweep.direction import BEST_OF_FIRST
from lightsweep.files import write_atomically, yaml_of
from lightsweep.report.statistics import StudyStatistics
from lightsweep.storage.password import SQLITE
from lightsweep.storage.storage import JOURNAL
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.params import params_of, val_seed_overrides
from lightsweep.trial.status import FAIL_KIND, FAIL_REASON, status_of, value_of, values_of

TABLE = "trials.csv"
RESULTS = "optimization_results.yaml"
REFIT_KEYS = ("shipped_trial", "shipped", "shipped_intervals", "trained_on", "refit_failed")
ATTRIBUTES = ["best_epoch", "n_epochs", "max_epochs", "pruned_reason", FAIL_KIND, FAIL_REASON]


@dataclass
class Results:
    """Writer of both files, in the folder of the search.

    `about` holds the first entries of the YAML file; `overrides_of` returns the overrides for a trial's parameters.
    `confirmed` says what the confirmation found. `further` are the names of the objectives after the first one, and
    `ship` is the rule that chooses one trial of the Pareto front.
    """

    folder: Path
    _: KW_ONLY
    about: dict[str, Any]
    param_names: Sequence[str]
    overrides_of: Callable[[Mapping[str, Any]], list[str]]
    statistics: StudyStatistics
    further: Sequence[str] = ()
    ship: str = BEST_OF_FIRST
    winner: FrozenTrial | None = None  # of the confirmation
    confirmed: dict[str, Any] = field(default_factory=dict)
    _lines: dict[int, str] = field(default_factory=dict, init=False)  # of the CSV file, by number of the trial

    @property
    def best(self) -> FrozenTrial | None:
        """The winner of the confirmation, otherwise the trial with the best value, or that `ship` chooses."""
        return self.winner or self.statistics.front.chosen(self.ship)

    def sync(self, study: optuna.Study) -> list[FrozenTrial]:
        """Add the newly finished trials, also those that other drivers of the study ran, and return them."""
        new = [t for t in study.get_trials(deepcopy=False) if t.number not in self._lines and t.state.is_finished()]
        for trial in new:
            self.statistics.add(trial)
            self._lines[trial.number] = _csv_line(self._row(trial))
        return new

    def write(self, *, durable: bool = True, **more: Any) -> None:
        """Replace both files as a whole, with the entries `more` at the end of the YAML file."""
        header = ["number", "state", "value", *self.further, *self.param_names, *ATTRIBUTES, "seconds", "folder"]
        lines = [_csv_line(header), *(self._lines[number] for number in sorted(self._lines))]
        results = {**self.about, **self._objectives(), **self._counts(), **self._best(), **more}
        write_atomically(self.folder / TABLE, "".join(lines), durable=durable)
        write_atomically(self.folder / RESULTS, yaml_of(results), durable=durable)

    def command(self, trial: FrozenTrial) -> str:
        """Return the shell command that trains this trial again, as a single run."""
        overrides = [*self.overrides_of(trial.params), *val_seed_overrides(trial.user_attrs), "hydra.mode=RUN"]
        return shlex.join(["python", sys.argv[0], *config_dir_in(sys.argv[1:]), *overrides])

    def _row(self, trial: FrozenTrial) -> list[Any]:
        return [
            trial.number,
            status_of(trial),
            *values_of(trial, n=1 + len(self.further)),
            *(params_of(trial).get(name) for name in self.param_names),
            *(trial.user_attrs.get(name) for name in ATTRIBUTES),
            trial.duration.total_seconds() if trial.duration else None,
            trial.user_attrs.get("folder"),
        ]

    def _counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = {"n_trials": {"finished": self.statistics.n_finished, **self.statistics.counts}}
        if kinds := self.statistics.failure_kinds:
            counts["failures"] = dict(kinds)
        if self.statistics.epochs_saved:
            counts["epochs_saved"] = self.statistics.epochs_saved
            counts["seconds_saved"] = round(self.statistics.seconds_saved, 1)
        return counts

    def _best(self) -> dict[str, Any]:
        best = self.best
        if best is None:
            return {}
        confirmed = {"confirmed": self.confirmed} if self.confirmed else {}
        return {
            **confirmed,
            "best_trial": best.number,
            "best_folder": best.user_attrs.get("folder"),
            "best_value": value_of(best),
            "best_epoch": best.user_attrs.get("best_epoch"),
            **self._front(best),
            "best_params": params_of(best),
            "command": self.command(best),
        }

    def _objectives(self) -> dict[str, Any]:
        """Return the entry on several objectives: the direction of each."""
        if not self.further:
            return {}
        names = [str(self.about["monitor"]), *self.further]
        directions = [direction.name.lower() for direction in self.statistics.directions]
        return {"objectives": dict(zip(names, directions, strict=True))}

    def _front(self, best: FrozenTrial) -> dict[str, Any]:
        """Return the entries of a search with several objectives."""
        if not self.further:
            return {}
        front = [{"trial": trial.number, "values": self._named(trial)} for trial in self.statistics.front.trials]
        return {"best_values": self._named(best), "ship": self.ship, "front": front}

    def _named(self, trial: FrozenTrial) -> dict[str, float]:
        return dict(zip([str(self.about["monitor"]), *self.further], trial.values, strict=True))


def _csv_line(row: list[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(row)
    return out.getvalue()


def refit_record(best: FrozenTrial | None, refit: Outcome | None) -> dict[str, Any]:
    """Return the entries of the YAML file on the exported model, given the best trial and the outcome of its refit."""
    if best is None or refit is None:
        return {"shipped": None}
    record: dict[str, Any] = {
        "shipped_trial": best.number,
        "shipped": refit.test_metrics,
        "trained_on": refit.trained_on,
    }
    if refit.test_intervals:
        record["shipped_intervals"] = {name: list(ends) for name, ends in refit.test_intervals.items()}
    return {**record, "refit_failed": refit.refit_failed} if refit.refit_failed else record


def read_refit_record(folder: Path) -> dict[str, Any]:
    """Return the `refit_record` of an earlier run of this search, {} if it has exported no model."""
    record = {key: value for key, value in read_record(folder).items() if key in REFIT_KEYS}
    is_complete = isinstance(record.get("shipped_trial"), int) and isinstance(record.get("shipped"), dict)
    return record if is_complete else {}


def read_results(folder: Path) -> dict[str, Any]:
    """Return the entries of the YAML file, {} if the search has no best trial."""
    results = read_record(folder)
    return results if "best_trial" in results else {}


def read_location(folder: Path) -> tuple[str, str] | None:
    """Return the storage of the search in `folder` and the name of its study, None without a results file.

    The password in the URL of a storage is masked.
    """
    results = read_record(folder)
    if "storage" not in results or "study_name" not in results:
        return None
    return _after_move(str(results["storage"]), folder), str(results["study_name"])


def _after_move(url: str, folder: Path) -> str:
    """Return the storage where it is now, if it was in the folder and the folder was moved."""
    if (journal := folder / JOURNAL).is_file():
        return str(journal)
    prefix = SQLITE if url.startswith(SQLITE) else ""
    former = Path(url.removeprefix(prefix))
    here = (folder / former.name).absolute()
    is_moved = (prefix or "://" not in url) and not former.is_file() and here.is_file()
    return f"{prefix}{here}" if is_moved else url


def read_record(folder: Path) -> dict[str, Any]:
    """Return all entries of the YAML file, {} if it is missing or damaged."""
    try:
        results: Any = OmegaConf.to_container(OmegaConf.load(folder / RESULTS))
        return dict(results)
    except Exception:  # noqa: BLE001  (a missing or damaged file counts as an empty one)
        return {}
