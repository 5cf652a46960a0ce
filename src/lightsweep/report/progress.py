"""What a person sees while a search runs: one live line, and one line per finished trial."""

import sys
import time
from datetime import timedelta
from typing import TextIO

from optuna.trial import FrozenTrial
from tqdm import tqdm

from lightsweep.report.results import StudyStatistics
from lightsweep.trial.status import FAIL_REASON, status_of

BAR = "{n_fmt}/{total_fmt} trials |{bar:20}| {desc} · {remaining} left"


class Progress:
    """A bar on a terminal, plain lines elsewhere (in a log file, under a scheduler)."""

    def __init__(self, *, total: int, done: int, monitor: str, out: TextIO = sys.stderr) -> None:
        self.total = total
        self.done = done
        self.monitor = monitor
        self.out = out
        self.start = time.monotonic()
        self.n_here = 0
        self.bar: tqdm | None = None
        if out.isatty():
            self.bar = tqdm(total=total, initial=done, bar_format=BAR, file=out, desc="first trial runs", leave=False)

    def update(self, trial: FrozenTrial, statistics: StudyStatistics) -> None:
        """Show one more finished trial."""
        self.done += 1
        self.n_here += 1
        line = f"{trial_line(trial, monitor=self.monitor)} · {statistics.line(self.monitor)}"
        if self.bar is None:
            print(f"[{self.done}/{self.total}] {line} · {self._time_left()} left", file=self.out, flush=True)
            return
        self.bar.write(trial_line(trial, monitor=self.monitor), file=self.out)
        self.bar.set_description_str(statistics.line(self.monitor), refresh=False)
        self.bar.update()

    def _time_left(self) -> timedelta:
        """As much as the trials so far make it likely."""
        per_trial = (time.monotonic() - self.start) / self.n_here
        return timedelta(seconds=round(per_trial * (self.total - self.done)))

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def trial_line(trial: FrozenTrial, *, monitor: str) -> str:
    """Number, what became of it, and its hyperparameters by the last part of their names."""
    params = " ".join(f"{name.rsplit('.', 1)[-1]}={short(value)}" for name, value in trial.params.items())
    return f"trial {trial.number:>3} {_fate(trial, monitor=monitor)}  {params}"


def _fate(trial: FrozenTrial, *, monitor: str) -> str:
    match status_of(trial):
        case "complete":
            return f"{monitor} {trial.value:.4f}"
        case "pruned":
            n_epochs = trial.user_attrs.get("n_epochs", "?")
            return f"pruned after {n_epochs} epoch{'' if n_epochs == 1 else 's'}"
        case fate:
            return f"{fate}: {trial.user_attrs.get(FAIL_REASON, 'unknown reason')}"


def short(value: object) -> str:
    """A hyperparameter as a person reads it: four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
