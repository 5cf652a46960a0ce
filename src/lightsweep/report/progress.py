"""The output of a running search: one line per finished trial, and on a terminal a progress bar."""

import sys
import time
from datetime import timedelta
from typing import TextIO

from optuna.trial import FrozenTrial
from tqdm import tqdm

from lightsweep.report.formatting import format_value
from lightsweep.report.statistics import StudyStatistics
from lightsweep.trial.status import FAIL_REASON, status_of

BAR = "{n_fmt}/{total_fmt} trials |{bar:20}| {desc} · {remaining} left"


class Progress:
    """A bar on a terminal, and plain lines elsewhere, for example in a log file."""

    def __init__(self, *, total: int, done: int, monitor: str, out: TextIO = sys.stderr) -> None:
        self.total = total
        self.done = done
        self.monitor = monitor
        self.out = out
        self.start = time.monotonic()
        self.n_done_before = done
        self.bar: tqdm | None = None
        if out.isatty():
            self.bar = tqdm(total=total, initial=done, bar_format=BAR, file=out, desc="first trial runs", leave=False)

    def update(self, trial: FrozenTrial, statistics: StudyStatistics) -> None:
        """Show one more finished trial."""
        self.done += 1
        line, counts = trial_line(trial, monitor=self.monitor), statistics.one_line(self.monitor)
        if self.bar is None:
            position = f"[{self.done}/{self.total}]"
            print(f"{position} {line} · {counts} · {self._time_left()} left", file=self.out, flush=True)
            return
        self.bar.write(line, file=self.out)
        self.bar.set_description_str(counts, refresh=False)
        self.bar.update()

    def _time_left(self) -> timedelta:
        """Extrapolate from the trials of this run, which exclude those of earlier runs of the search."""
        s_per_trial = (time.monotonic() - self.start) / (self.done - self.n_done_before)
        return timedelta(seconds=round(s_per_trial * (self.total - self.done)))

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def trial_line(trial: FrozenTrial, *, monitor: str) -> str:
    """Return number, result and hyperparameters, each by the last part of its name: `lr` for `optimizer.lr`."""
    params = " ".join(f"{name.rsplit('.', 1)[-1]}={format_value(value)}" for name, value in trial.params.items())
    return f"trial {trial.number:>3} {_result(trial, monitor=monitor)}  {params}"


def _result(trial: FrozenTrial, *, monitor: str) -> str:
    match status_of(trial):
        case "complete":
            return f"{monitor} {trial.value:.4f}"
        case "pruned":
            n_epochs = trial.user_attrs.get("n_epochs", "?")
            return f"pruned after {n_epochs} epoch{'' if n_epochs == 1 else 's'}"
        case status:
            return f"{status}: {trial.user_attrs.get(FAIL_REASON, 'unknown reason')}"
