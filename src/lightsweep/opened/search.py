"""A search for a notebook: its trials as a table, the winner, the figures of the report, and the exported model."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial

from lightsweep.errors import ConfigError
from lightsweep.opened.location import Location
from lightsweep.pareto import further_objectives
from lightsweep.report import figures
from lightsweep.report.page.recorded import RecordedResults
from lightsweep.report.plotly_figure import Drawing, Panel, quiet_optuna
from lightsweep.report.snapshot import NothingToShowError, StudySnapshot
from lightsweep.search.study import monitor_of, step_of
from lightsweep.trial.params import params_of
from lightsweep.trial.status import epochs_of, reason_of, status_of, values_of

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

    from lightsweep.export.predictor import Predictor

BEFORE, AFTER = ("number", "state", "value"), ("epochs", "seconds", "folder", "reason")  # columns around the parameters
EXPORTED = "best"


@dataclass(frozen=True, kw_only=True)
class Best:
    """The winner of a search. `value` is that of its trial; mean and half width are those of the confirmation.

    Of several objectives, `value` is the first and `further` are the others.
    """

    number: int
    value: float | None
    params: dict[str, Any]
    mean: float | None = None
    half_width: float | None = None
    further: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search, opened to read. `folder` is None if only its storage is known.

    `monitor` is the metric. `trials` and `best` are read again at each use, so they follow a search that runs.
    """

    study: optuna.Study
    folder: Path | None
    monitor: str

    @classmethod
    def open(cls, search: str | os.PathLike[str], study: str | None = None) -> "Search":
        """Open a search by its folder, its journal or its storage. Raises what `Location.open_study` raises."""
        location = Location.of(search)
        opened = location.open_study(study, option="study=...")
        return cls(study=opened, folder=location.folder, monitor=monitor_of(opened))

    @property
    def trials(self) -> "pd.DataFrame":
        """All trials, a row each: also those that run or wait. A parameter that was not searched in a trial is NaN."""
        import pandas as pd

        trials = self.study.get_trials(deepcopy=False)
        names = list(dict.fromkeys(name for trial in trials for name in trial.params))
        columns = [
            *BEFORE,
            *self._further,
            *(f"params_{name}" if name in (*BEFORE, *AFTER) else name for name in names),
            *AFTER,
        ]
        frame = pd.DataFrame([self._row(trial, names) for trial in trials], columns=columns)
        return frame.astype(
            {"value": "float64", **dict.fromkeys(self._further, "float64"), "epochs": "Int64", "seconds": "float64"}
        )

    @property
    def _further(self) -> list[str]:
        """The names of the objectives after the first one."""
        return further_objectives(self.study)

    def _row(self, trial: FrozenTrial, names: Sequence[str]) -> list[Any]:
        params = params_of(trial)
        seconds = trial.duration.total_seconds() if trial.duration else None
        folder = self.folder_of(trial)
        return [
            *(trial.number, status_of(trial), *values_of(trial, n=len(self.study.directions))),
            *(params.get(name) for name in names),
            *(epochs_of(trial)[0], seconds, None if folder is None else str(folder), reason_of(trial)),
        ]

    def folder_of(self, trial: FrozenTrial) -> Path | None:
        """Return the folder of a trial where it is now, if the folder of the search was moved."""
        here = None if self.folder is None else self.folder / str(trial.number)
        if here is not None and here.is_dir():
            return here
        recorded = trial.user_attrs.get("folder")
        return Path(recorded) if isinstance(recorded, str) else None

    @property
    def results(self) -> RecordedResults:
        return RecordedResults.read(self.folder, study_name=self.study.study_name)

    @property
    def best(self) -> Best | None:
        """The winner of the confirmation, without one the trial with the best value; None if no trial is complete.

        Of several objectives it is the trial of the Pareto front that the rule `ship` chooses.
        """
        if confirmed := self.results.confirmed:
            for trial in self.study.get_trials(deepcopy=False):
                if trial.number == confirmed.number:
                    return self._best(trial, mean=confirmed.mean, half_width=confirmed.half_width)
        best = self._snapshot().best
        return None if best is None else self._best(best)

    def _best(self, trial: FrozenTrial, *, mean: float | None = None, half_width: float | None = None) -> Best:
        value, *others = values_of(trial, n=len(self.study.directions))
        further = {name: other for name, other in zip(self._further, others, strict=True) if other is not None}
        return Best(
            number=trial.number,
            value=value,
            params=params_of(trial),
            mean=mean,
            half_width=half_width,
            further=further,
        )

    @property
    def front(self) -> "pd.DataFrame":
        """The rows of `trials` on the Pareto front, the best value of the first objective first."""
        numbers = [trial.number for trial in self._snapshot().front.trials]
        return self.trials.iloc[numbers]

    def _snapshot(self) -> StudySnapshot:
        return StudySnapshot.of(self.study, monitor=self.monitor, step=step_of(self.study))

    @cached_property
    def figures(self) -> "dict[str, Figure]":
        """The figures of the report by name, a slice as `slices/<parameter>`. Those that can't be drawn are left out.

        They show the trials at the first use.
        """
        from plotly.graph_objects import Figure

        found = {}
        snapshot = self._snapshot()
        with quiet_optuna():
            for name, build in figures.BY_NAME.items():
                for panel in _panels(build, snapshot):
                    figure = Figure(panel.styled()).update_layout(height=panel.height)
                    found[f"{name}/{panel.name}" if panel.name else name] = figure
        return found

    def load(self) -> "Predictor":
        """Load the exported model, as `lightsweep.load` does. Raise `ConfigError` if there is none."""
        from lightsweep.export.predictor import Predictor

        if self.folder is None:
            raise ConfigError(
                f"the exported model of '{self.study.study_name}' is in the folder of the search, which its storage"
                " does not tell: open_search(<folder>)."
            )
        return Predictor.from_folder(self.folder / EXPORTED)


def _panels(build: Callable[[StudySnapshot], Drawing], snapshot: StudySnapshot) -> Sequence[Panel]:
    try:
        return build(snapshot).panels
    except NothingToShowError:
        return ()
