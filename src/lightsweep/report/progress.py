"""The output of a running search: one line per finished trial, and on a terminal what is running now."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from optuna.trial import FrozenTrial
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lightsweep.direction import objective_text
from lightsweep.errors import first_few
from lightsweep.report.formatting import format_value
from lightsweep.report.statistics import StudyStatistics
from lightsweep.trial.status import FAIL_REASON, reported_by, status_of, step_of, value_of

SECONDS_BETWEEN_REFRESHES = 0.5


class Progress:
    """Lines for finished trials and, within `live` on a terminal, a region below them that is kept up to date."""

    def __init__(
        self, *, total: int, done: int, monitor: str, statistics: StudyStatistics, further: Sequence[str] = ()
    ) -> None:
        self.total = total
        self.done = done
        self.monitor = monitor
        self.further = further
        self.statistics = statistics
        self._start = time.monotonic()
        self._n_done_before = done
        self._live: Live | None = None

    @contextmanager
    def live(self, running: Callable[[], Sequence[FrozenTrial]]) -> Iterator[None]:
        """Show the counts and the running trials in the block; nothing where no region can be drawn, as in a log file.

        `running` is called in another thread. What this process prints in the meantime appears above the region.
        """
        console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        if not (sys.stderr.isatty() and console.is_interactive):
            yield
            return
        is_over = threading.Event()
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=sys.stdout.isatty())
        try:
            with self._live:
                console.show_cursor()  # a process that is killed could not bring it back
                threading.Thread(target=self._refresh, args=(self._live, running, is_over), daemon=True).start()
                yield
        finally:
            is_over.set()
            self._live = None

    def _refresh(self, live: Live, running: Callable[[], Sequence[FrozenTrial]], is_over: threading.Event) -> None:
        trials: Sequence[FrozenTrial] = ()
        while not is_over.wait(SECONDS_BETWEEN_REFRESHES):
            try:
                # Not while `live` holds its lock: a signal handler prints, and may have interrupted the storage.
                trials = running()
            except Exception:  # noqa: BLE001  (the search itself reports what is wrong with the storage)
                continue
            live.update(self._region(trials), refresh=True)

    def _region(self, running: Sequence[FrozenTrial]) -> Group:
        bar = Table.grid(padding=(0, 1))
        bar.add_column(no_wrap=True)
        bar.add_row(f"{self.done}/{self.total} trials", ProgressBar(total=self.total, completed=self.done))
        times = [f"{timedelta(seconds=round(time.monotonic() - self._start))} elapsed", *self._time_left()]
        trials = first_few([running_line(trial, monitor=self.monitor) for trial in running], between="\n")
        return Group(bar, Text(" · ".join([self.statistics.one_line(self.monitor), *times])), Text(trials))

    def update(self, trial: FrozenTrial) -> None:
        """Show one more finished trial."""
        self.done += 1
        line = trial_line(trial, monitor=self.monitor, further=self.further)
        if self._live is not None:
            self._live.console.print(Text(line), soft_wrap=True)
            return
        counts = [f"[{self.done}/{self.total}] {line}", self.statistics.one_line(self.monitor), *self._time_left()]
        print(" · ".join(counts), file=sys.stderr, flush=True)

    def _time_left(self) -> list[str]:
        """Extrapolate from the trials of this run, which exclude those of earlier runs of the search."""
        n_done = self.done - self._n_done_before
        if not n_done:
            return []
        seconds = (time.monotonic() - self._start) / n_done * (self.total - self.done)
        return [f"{timedelta(seconds=round(seconds))} left"]


def trial_line(trial: FrozenTrial, *, monitor: str, further: Sequence[str] = ()) -> str:
    """Return number, result and hyperparameters, each by the last part of its name: `lr` for `optimizer.lr`."""
    params = " ".join(f"{name.rsplit('.', 1)[-1]}={format_value(value)}" for name, value in trial.params.items())
    return f"trial {trial.number:>3} {_result(trial, objectives=[monitor, *further])}  {params}"


def running_line(trial: FrozenTrial, *, monitor: str) -> str:
    """Return number, time, and the epochs and the value that the trial has reported."""
    assert trial.datetime_start is not None
    seconds = (datetime.now() - trial.datetime_start).total_seconds()  # Optuna's times have no zone
    reported = f"first {step_of(trial)}"
    if values := reported_by(trial):
        last = max(values)
        reported = f"{_counted(last + 1, step_of(trial))} · {monitor} {values[last]:.4f}"
    return f"trial {trial.number:>3} · {timedelta(seconds=round(seconds))} · {reported}"


def _result(trial: FrozenTrial, *, objectives: Sequence[str]) -> str:
    match status_of(trial):
        case "complete":
            values = zip(objectives, [f"{value_of(trial):.4f}", *map(objective_text, trial.values[1:])], strict=True)
            return " ".join(f"{name} {value}" for name, value in values)
        case "pruned":
            return f"pruned after {_counted(trial.user_attrs.get('n_epochs', '?'), 'epoch')}"
        case status:
            return f"{status}: {trial.user_attrs.get(FAIL_REASON, 'unknown reason')}"


def _counted(n: object, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
