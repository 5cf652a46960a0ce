"""What the sections of a report are made from."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from optuna.trial import FrozenTrial

from lightsweep.report.page.recorded import RecordedResults
from lightsweep.report.snapshot import StudySnapshot
from lightsweep.report.statistics import StudyStatistics
from lightsweep.trial.params import params_of


@dataclass(frozen=True, kw_only=True)
class Running:
    """The search still runs. The page is to be loaded again after `seconds`; `stage` is what follows the trials."""

    seconds: int
    stage: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """A study at one moment. `folder` is that of the search, None if only its storage is known; `page` is the file.

    `recorded` is empty for a study that another tool wrote. `n_trials` is how many the search is to run, if known.
    """

    snapshot: StudySnapshot
    page: Path
    folder: Path | None = None
    recorded: RecordedResults = field(default_factory=RecordedResults)
    n_trials: int | None = None
    running: Running | None = None

    @cached_property
    def statistics(self) -> StudyStatistics:
        return StudyStatistics.of(self.snapshot.trials, directions=self.snapshot.directions)

    @cached_property
    def best(self) -> FrozenTrial | None:
        """The winner of the confirmation, without one the trial with the best value."""
        winner = self.recorded.confirmed
        confirmed = [] if winner is None else [t for t in self.snapshot.trials if t.number == winner.number]
        return confirmed[0] if confirmed else self.snapshot.best

    def link(self, trial: FrozenTrial) -> str:
        """Return the number of the trial as HTML, with a link to its folder if that is there.

        The link is relative to the page, so it holds when the folder of the search is moved with the page in it.
        """
        number = str(trial.number)
        if self.folder is None or not (self.folder / number).is_dir():
            return number
        path = os.path.relpath(self.folder / number, self.page.parent)
        return f'<a href="{escape(quote(path))}/">{number}</a>'

    def params(self, trial: FrozenTrial) -> Mapping[str, Any]:
        return params_of(trial)
