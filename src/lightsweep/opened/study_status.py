"""What a study is doing now: its counts, its best trial, and who runs which trial. Any study of Optuna has one."""

import json
import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from lightsweep.direction import objective_text
from lightsweep.errors import aligned
from lightsweep.pareto import SHIP
from lightsweep.report.formatting import format_duration, format_value
from lightsweep.report.snapshot import StudySnapshot
from lightsweep.trial.heartbeat import key_of
from lightsweep.trial.identity import DEVICE, Owner
from lightsweep.trial.params import params_of
from lightsweep.trial.status import STATUSES, n_folds_of, reported_by, status_of, value_of

UNFINISHED = ("running", "waiting")
COLUMNS = ("trial", "host", "process", "device", "epochs", "since", "time", "", "process is")


@dataclass(frozen=True, kw_only=True)
class RunningTrial:
    """`step` and `value` are the last ones that the trial reported; what is not known is None."""

    number: int
    host: str | None
    pid: int | None
    device: str | None
    step: int | None
    max_epochs: int | None
    n_folds: int | None
    since: str
    seconds: float
    value: float | None
    process_is: str

    def row(self) -> list[str]:
        started = datetime.fromisoformat(self.since)
        is_today = started.date() == datetime.now().date()
        known = [*map(str, (self.number, self.host, self.pid, self.device))]
        return [
            *("-" if text == "None" else text for text in known),
            _epochs(self.step, self.max_epochs)
            if self.n_folds is None
            else f"{_done(self.step)} of {self.n_folds} folds",
            f"{started:%H:%M:%S}" if is_today else f"{started:%Y-%m-%d %H:%M}",
            format_duration(self.seconds),
            "-" if self.value is None else format_value(self.value),
            self.process_is,
        ]


@dataclass(frozen=True, kw_only=True)
class StudyStatus:
    """A study at one moment. `best` has the number, value, epoch and hyperparameters of the best trial.

    With several objectives `front` has the trials of the Pareto front, and `best` is the one that the rule `ship`
    chooses, or that with the best value of the first objective if another tool made the study.
    """

    study: str
    storage: str
    monitor: str
    directions: list[str]
    n_trials: int | None
    counts: dict[str, int]
    best: dict[str, Any] | None
    running: list[RunningTrial]
    front: list[dict[str, Any]] = field(default_factory=list)
    ship: str | None = None

    @classmethod
    def of(
        cls, study: optuna.Study, *, storage: str, monitor: str, n_trials: int | None, max_epochs: int | None
    ) -> "StudyStatus":
        """Read the study. `storage` is shown as it is; `max_epochs` counts for trials that do not say otherwise."""
        trials = study.get_trials(deepcopy=False)
        snapshot = StudySnapshot.of(study, monitor=monitor)
        counts = Counter(map(status_of, trials))
        study_attrs = study.user_attrs
        return cls(
            study=study.study_name,
            storage=storage,
            monitor=monitor,
            directions=[direction.name.lower() for direction in study.directions],
            n_trials=n_trials,
            counts={status: counts[status] for status in (*STATUSES, *UNFINISHED)},
            best=_best(snapshot),
            front=_front(snapshot) if snapshot.further else [],
            ship=study_attrs.get(SHIP),
            running=[
                _running(trial, study_attrs=study_attrs, max_epochs=max_epochs)
                for trial in trials
                if trial.state == TrialState.RUNNING
            ],
        )

    def to_json(self, **more: "StudyStatus") -> str:
        """Return it as JSON, with other studies below their keys. Numbers that are not finite are null."""
        record = asdict(self) | {key: asdict(status) for key, status in more.items()}
        return json.dumps(_finite(record), indent=1)

    def text(self) -> str:
        """Return it as people read it."""
        return "\n".join([f"{self.study} in {self.storage}", *self._counts(), *self._best_lines(), *self._table()])

    def text_of_runs(self) -> str:
        """Return what runs, without the best one: the values are of several configurations."""
        return "\n".join([f"Confirming the best trials ({self.study})", *self._counts(), *self._table()])

    def _counts(self) -> list[str]:
        n_finished = sum(self.counts[status] for status in STATUSES)
        of = "" if self.n_trials is None else f" of {self.n_trials}"
        kinds = ", ".join(f"{self.counts[status]} {status}" for status in STATUSES if self.counts[status])
        return aligned(
            [
                ("Finished", f"{n_finished}{of}{f' ({kinds})' if kinds else ''}"),
                ("Running", str(self.counts["running"])),
                ("Waiting", str(self.counts["waiting"])),
            ]
        )

    def _best_lines(self) -> list[str]:
        if self.best is None:
            return ["", "No trial is complete yet."]
        epoch = "" if self.best["epoch"] is None else f", epoch {self.best['epoch']}"
        params = [(name, format_value(value)) for name, value in sorted(self.best["params"].items())]
        heading = f"Best {self.monitor} {format_value(self.best['value'])} (trial {self.best['number']}{epoch})"
        if self.ship:
            heading = f"ship={self.ship} chooses trial {self.best['number']}{epoch}"
        return [*self._front_lines(), "", heading, *(aligned(params) if params else [])]

    def _front_lines(self) -> list[str]:
        """Return the Pareto front as a table, nothing with a single objective."""
        if not self.front:
            return []
        rows = [(str(trial["number"]), *map(objective_text, trial["values"].values())) for trial in self.front]
        return ["", "Pareto front", *aligned([("trial", *self.front[0]["values"]), *rows])]

    def _table(self) -> list[str]:
        if not self.running:
            return []
        header = [name or self.monitor for name in COLUMNS]
        return ["", "Running trials", *aligned([header, *(trial.row() for trial in self.running)])]


def process_is(trial: FrozenTrial, study_attrs: Mapping[str, Any]) -> str:
    """Return whether the process that runs a trial is alive.

    On this host that is known. On another one the heartbeat of its driver tells, which is in the study.
    """
    owner = Owner.of(trial)
    if owner is None:
        return "unknown"
    if not owner.process.is_remote():
        return "alive" if owner.process.may_be_alive() else "gone"
    record = study_attrs.get(key_of(owner.driver))
    if not isinstance(record, dict):
        return "unknown"
    if record.get("ended"):
        return "gone"
    if not isinstance(beat := record.get("time"), int | float):
        return "unknown"
    return f"seen {format_duration(max(0.0, time.time() - beat))} ago"


def _running(trial: FrozenTrial, *, study_attrs: Mapping[str, Any], max_epochs: int | None) -> RunningTrial:
    assert trial.datetime_start is not None
    reported = reported_by(trial)
    last = max(reported, default=None)
    owner = Owner.of(trial)
    device = trial.user_attrs.get(DEVICE)
    own_max_epochs = trial.params.get("trainer.max_epochs", max_epochs)
    return RunningTrial(
        number=trial.number,
        host=None if owner is None else owner.process.host,
        pid=None if owner is None else owner.process.pid,
        device=None if device is None else str(device),
        step=last,
        max_epochs=own_max_epochs if isinstance(own_max_epochs, int) else None,
        n_folds=n_folds_of(trial),
        since=trial.datetime_start.isoformat(timespec="seconds"),
        # Optuna's times have no zone, and the clock of another host may be ahead.
        seconds=max(0.0, round((datetime.now() - trial.datetime_start).total_seconds(), 1)),
        value=None if last is None else reported[last],
        process_is=process_is(trial, study_attrs),
    )


def _best(snapshot: StudySnapshot) -> dict[str, Any] | None:
    best = snapshot.best
    if best is None:
        return None
    epoch = best.user_attrs.get("best_epoch")
    return {"number": best.number, "value": value_of(best), "epoch": epoch, "params": params_of(best)}


def _front(snapshot: StudySnapshot) -> list[dict[str, Any]]:
    return [
        {"number": trial.number, "values": dict(zip(snapshot.objectives, trial.values, strict=True))}
        for trial in snapshot.front.trials
    ]


def _epochs(step: int | None, max_epochs: int | None) -> str:
    """Return the finished epochs; without `max_epochs` the last step, which need not be an epoch."""
    if max_epochs is None:
        return "-" if step is None else f"step {step}"
    return f"{_done(step)} of {max_epochs}"


def _done(step: int | None) -> int:
    return 0 if step is None else step + 1


def _finite(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _finite(child) for name, child in node.items()}
    if isinstance(node, list):
        return [_finite(child) for child in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
