"""Estimate the time and the disk space of a search from the dry runs of its smallest and largest model."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightsweep.errors import ConfigError
from lightsweep.preflight.dry_run import DryRun
from lightsweep.search.folder import nearest_existing
from lightsweep.sweeper.config import LightsweepConf

REUSE_WORKERS = ("joblib", "ray")  # launchers whose workers import torch only for their first trial
BYTES_PER_TRIAL = 20_000  # study, metrics and result, which a dry run does not write


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of a search. `seconds_per_trial` is None if the number of batches is unknown.

    `n_confirm` is the largest number of trainings that confirm the best trials.
    """

    n_trials: int
    n_confirm: int
    n_jobs: int
    max_epochs: int
    seconds_per_trial: tuple[float, float] | None  # lowest and highest
    checkpoint_bytes: int
    last_checkpoint_bytes: int
    n_checkpoints: int
    folder_bytes: int

    @classmethod
    def of(
        cls,
        dry_runs: Sequence[DryRun],
        settings: LightsweepConf,
        *,
        launcher: str,
        n_trials: int,
        n_confirm: int,
        max_epochs: int,
    ) -> "Estimate":
        assert settings.n_jobs is not None  # the search has replaced null
        return cls(
            n_trials=n_trials,
            n_confirm=n_confirm,
            n_jobs=settings.n_jobs,
            max_epochs=max_epochs,
            seconds_per_trial=_seconds_per_trial(dry_runs, launcher=launcher, max_epochs=max_epochs),
            checkpoint_bytes=max(r.measured["checkpoint_bytes"] for r in dry_runs),
            last_checkpoint_bytes=max(r.measured["last_checkpoint_bytes"] for r in dry_runs),
            n_checkpoints=min(n_trials, settings.keep_checkpoints or n_trials),
            folder_bytes=max(r.folder_bytes for r in dry_runs) + BYTES_PER_TRIAL,
        )

    def search_seconds(self) -> tuple[float, float] | None:
        return self._seconds_of(self.n_trials)

    def _seconds_of(self, n_trainings: int) -> tuple[float, float] | None:
        if self.seconds_per_trial is None:
            return None
        rounds = n_trainings / min(self.n_jobs, n_trainings or 1)
        low, high = self.seconds_per_trial
        return rounds * low, rounds * high

    def disk_bytes(self) -> int:
        """Return the size of all kept checkpoints and folders, and of both checkpoints of each running trial."""
        running = self.n_jobs * (self.checkpoint_bytes + self.last_checkpoint_bytes)
        return (
            self.n_checkpoints * self.checkpoint_bytes + running + (self.n_trials + self.n_confirm) * self.folder_bytes
        )

    def lines(self, folder: Path) -> dict[str, str]:
        """Return the lines of the estimate by their labels."""
        existing = nearest_existing(folder)
        n_at_a_time = f", {self.n_jobs} at a time" if self.n_jobs > 1 else ""
        confirm = f"{_span(self._seconds_of(self.n_confirm))} for up to {_counted(self.n_confirm, 'training')} after it"
        return {
            "a trial": f"{_span(self.seconds_per_trial)} for {_counted(self.max_epochs, 'epoch')}",
            "the search": (
                f"{_span(self.search_seconds())} for {_counted(self.n_trials, 'trial')}{n_at_a_time}, if none is pruned"
            ),
            **({"confirm": confirm} if self.n_confirm else {}),
            "disk": (
                f"about {in_bytes(self.disk_bytes())}: a checkpoint of up to {in_bytes(self.checkpoint_bytes)} for"
                f" {_counted(self.n_checkpoints, 'trial')}, and {in_bytes(self.folder_bytes)} for each trial's folder"
            ),
            "free": f"{in_bytes(shutil.disk_usage(existing).free)} in {existing}",
        }

    def check_disk(self, folder: Path) -> None:
        """Raise `ConfigError` if the search would fill the disk."""
        free = shutil.disk_usage(nearest_existing(folder)).free
        if self.disk_bytes() > free:
            raise ConfigError(
                f"hydra.sweep.dir is '{folder}', where {in_bytes(free)} are free, but the search needs about"
                f" {in_bytes(self.disk_bytes())}. Free some space, choose another folder with hydra.sweep.dir=..., or"
                f" keep fewer checkpoints than hydra.sweeper.keep_checkpoints={self.n_checkpoints}."
            )

    def timeout_warnings(self, settings: LightsweepConf) -> list[str]:
        """Return warnings about timeouts that are shorter than the estimated times."""
        if self.seconds_per_trial is None:
            return []
        _, trial_s = self.seconds_per_trial
        _, search_s = self.search_seconds() or (0.0, 0.0)
        _, confirm_s = self._seconds_of(self.n_confirm) or (0.0, 0.0)
        warnings = []
        if settings.trial_timeout is not None and trial_s > settings.trial_timeout:
            warnings.append(
                f"warning: hydra.sweeper.trial_timeout is {settings.trial_timeout:g} s, but the slowest trial takes"
                f" about {in_time(trial_s)}; trials that take longer will fail."
            )
        if settings.timeout is not None and search_s > settings.timeout:
            warnings.append(
                f"note: hydra.sweeper.timeout of {settings.timeout:g} s may end the search before all trials are run."
            )
        elif settings.timeout is not None and search_s + confirm_s > settings.timeout:
            warnings.append(
                f"note: hydra.sweeper.timeout of {settings.timeout:g} s may end before the best trials are confirmed."
            )
        return warnings


def _seconds_per_trial(dry_runs: Sequence[DryRun], *, launcher: str, max_epochs: int) -> tuple[float, float] | None:
    """Return the time of the faster model with the fewest batches and of the slower model with the most batches.

    A trial may combine the model of one with the batch size of the other.
    """
    warm = len({r.measured["pid"] for r in dry_runs}) > 1 and any(name in launcher for name in REUSE_WORKERS)
    overhead = min(r.overhead_s(warm=warm) for r in dry_runs)
    counts = [r.measured["n_batches"] for r in dry_runs]
    epochs = [r.epoch_s(n_batches=n_batches) for r in dry_runs for n_batches in counts]
    seconds = [overhead + max_epochs * epoch for epoch in epochs if epoch is not None]
    return (min(seconds), max(seconds)) if len(seconds) == len(epochs) else None


def in_time(seconds: float) -> str:
    """Return a duration with about two digits: 0.08 s, 12 s, 4 min, 3 h 20 min, 2 d 4 h."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def in_bytes(n: float) -> str:
    """Return a size with two or three digits: 12 kB, 3.4 MB, 120 GB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if n < 1000 or unit == "TB":
            break
        n /= 1000
    return f"{n:.1f} {unit}" if n < 10 and unit != "B" else f"{n:.0f} {unit}"


def _span(seconds: tuple[float, float] | None) -> str:
    if seconds is None:
        return "unknown, because the data module does not report its number of batches,"
    low, high = map(in_time, seconds)
    return f"about {high}" if low == high else f"about {low} to {high}"


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
