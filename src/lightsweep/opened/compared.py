"""One of the searches that are compared: its counts, its best trial, and what it searched with which settings."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from lightsweep.config.command_line import read_command
from lightsweep.config.fingerprint import SEARCHED, Fingerprint, is_harmless
from lightsweep.files import shown
from lightsweep.opened.location import Location
from lightsweep.pareto import further_objectives
from lightsweep.report.page.recorded import RecordedResults
from lightsweep.report.statistics import StudyStatistics
from lightsweep.search.space import described
from lightsweep.search.study import N_TRIALS, fingerprint_of, monitor_of
from lightsweep.trial.status import is_feasible, status_of, value_of


class Point(NamedTuple):
    """The best value when a trial finished: the n-th, so many seconds after the first one began."""

    n_finished: int
    seconds: float
    best: float


@dataclass(frozen=True, kw_only=True)
class ComparedSearch:
    """A search at one moment. `label` is its folder, or its study and its storage.

    Of several objectives, `monitor` and all values are the first; `further` are the names of the others.

    `fingerprint` is None if another tool made the study; then `space` is read off its trials. Options are those of the
    command line that the fingerprint leaves out, such as the sampler.
    """

    label: str
    trials: list[FrozenTrial]
    directions: Sequence[StudyDirection]
    monitor: str
    further: Sequence[str]
    n_trials: int | None
    results: RecordedResults
    fingerprint: Fingerprint | None
    space: Mapping[str, str]
    options: Mapping[str, str]

    @classmethod
    def of(cls, search: str) -> "ComparedSearch":
        """Read a search: its folder, its journal, or its storage; there, `#` and a name choose a study.

        Raises what `Location.open_study` raises.
        """
        url, name = _with_study(search)
        location = Location.of(url)
        study = location.open_study(name, option=f"'{location.shown}#<study>'")
        n_trials, fingerprint = study.user_attrs.get(N_TRIALS), fingerprint_of(study)
        trials = study.get_trials(deepcopy=False)
        return cls(
            label=shown(location.folder) if location.folder else f"{study.study_name} in {location.shown}",
            trials=trials,
            directions=study.directions,
            monitor=monitor_of(study),
            further=further_objectives(study),
            n_trials=n_trials if isinstance(n_trials, int) else None,
            results=RecordedResults.read(location.folder, study_name=study.study_name),
            fingerprint=fingerprint,
            space=_space_of(trials) if fingerprint is None else _searched(fingerprint),
            options={} if location.folder is None else _options(location.folder),
        )

    @property
    def direction(self) -> StudyDirection:
        return self.directions[0]

    @cached_property
    def statistics(self) -> StudyStatistics:
        return StudyStatistics.of(self.trials, directions=self.directions)

    @property
    def counts(self) -> Counter[str]:
        """The number of trials by status, also of those that run or wait."""
        return Counter(map(status_of, self.trials))

    @property
    def settings(self) -> Mapping[str, str] | None:
        """The fixed settings, None if they were not recorded."""
        if self.fingerprint is None:
            return None
        return {key: value for key, value in self.fingerprint.strict.items() if not value.startswith(SEARCHED)}

    def searched_or_fixed(self, key: str) -> str:
        """Return what of a parameter is searched here, or its value if only another search searches it."""
        if key in self.space:
            return self.space[key]
        value = (self.settings or {}).get(key)
        return "-" if value is None else f"fixed: {value}"

    @property
    def seconds(self) -> float:
        """How long all finished trials took together."""
        return sum(trial.duration.total_seconds() for trial in self.trials if trial.duration)

    def progress(self) -> list[Point]:
        """Return the best value so far after each finished trial, from the first complete one on."""
        started = min((trial.datetime_start for trial in self.trials if trial.datetime_start), default=None)
        finished = sorted((_end(trial), trial.number, trial) for trial in self.trials if trial.datetime_complete)
        points: list[Point] = []
        best = None
        choose = max if self.direction == StudyDirection.MAXIMIZE else min
        for n, (end, _, trial) in enumerate(finished, start=1):
            if status_of(trial) == "complete" and is_feasible(trial) and math.isfinite(value := value_of(trial)):
                best = value if best is None else choose(best, value)
            if best is not None and started is not None:
                points.append(Point(n, max(0.0, (end - started).total_seconds()), best))
        return points


def _end(trial: FrozenTrial) -> datetime:
    assert trial.datetime_complete is not None
    return trial.datetime_complete


def _with_study(search: str) -> tuple[str, str | None]:
    """Split `<storage>#<study>`; the name of a file, a folder or a study may hold `#`, too."""
    parts = search.split("#")
    for i in range(1, len(parts)):
        url = "#".join(parts[:i])
        if not Path(search).exists() and ("://" in url or Path(url).exists()):
            return url, "#".join(parts[i:])
    return search, None


def _searched(fingerprint: Fingerprint) -> dict[str, str]:
    return {
        key: value.removeprefix(SEARCHED) for key, value in fingerprint.strict.items() if value.startswith(SEARCHED)
    }


def _space_of(trials: list[FrozenTrial]) -> dict[str, str]:
    """Return the space as the trials show it. A range that changed within the study is that of the last trial."""
    last: dict[str, BaseDistribution] = dict(chain.from_iterable(trial.distributions.items() for trial in trials))
    return {name: described(distribution) for name, distribution in last.items()}


def _options(folder: Path) -> dict[str, str]:
    pairs = (argument.lstrip("+~").partition("=") for argument in read_command(folder) or [])
    return {key: value for key, _, value in pairs if is_harmless(key)}
