"""Rehearses a search before it starts: its smallest and its largest model, a few batches each, and what all costs."""

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lightsweep.errors import USER_ERRORS, ConfigError, format_errors
from lightsweep.interrupt import handled_by
from lightsweep.report.formatting import format_value
from lightsweep.search.folder import cannot_create, nearest_that_exists, use_folder
from lightsweep.search.jobs import TrialFailed, TrialJobs
from lightsweep.search.space import Request
from lightsweep.sweeper.config import LightsweepConf
from lightsweep.trial.outcome import Outcome

N_BATCHES = 10
MEASURED = "measured.json"
S_PER_EPOCH = 0.005  # Lightning's own time around the batches, measured on the digits
S_PER_JOB = 0.3  # Hydra's and the launcher's time around a job, measured with joblib
BLOCK = 4096  # what a small file takes on disk


@dataclass(frozen=True)
class DryRun:
    """What one of the two models cost, or why it failed.

    `seconds` are those of the whole job; `folder_bytes` are without checkpoints.
    """

    size: str
    params: Mapping[str, Any]
    seconds: float
    fault: str | None
    measured: Mapping[str, Any]
    folder_bytes: int

    def described(self) -> str:
        return " ".join(f"{name}={format_value(value)}" for name, value in self.params.items())

    def epoch_s(self, *, n_batches: int | None) -> float | None:
        """Seconds of one epoch of so many batches, with validation and checkpoint; None if some number is unknown."""
        m = self.measured
        if n_batches is None or m["n_val_batches"] is None:
            return None
        batches = n_batches * m["s_per_batch"] + m["n_val_batches"] * m["s_per_val_batch"]
        return float(batches + m["s_per_checkpoint"] + S_PER_EPOCH)

    def around_s(self, *, warm: bool) -> float:
        """Seconds of the job that are spent once, whatever the number of epochs.

        `warm` leaves out what only the first job of a process pays for, above all importing torch.
        """
        m = self.measured
        seconds = m["s_since_set_up"] + S_PER_JOB if warm else self.seconds
        return max(0.0, float(seconds - m["s_in_batches"] - m["s_per_checkpoint"]))


def dry_run(
    settings: LightsweepConf,
    request: Request,
    *,
    config: DictConfig,
    hydra_context: HydraContext,
    task_function: TaskFunction,
) -> list[DryRun]:
    """Run both models as two ordinary jobs through the search's own launcher, in a folder that is removed again.

    Nothing is reported to a study. Raises one `ConfigError` with all that went wrong.
    """
    with _temporary_folder(Path(config.hydra.sweep.dir).absolute()) as folder:
        use_folder(config, folder)
        launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )
        jobs = TrialJobs(launcher=launcher, space=request.space, fixed=request.fixed, sweep_dir=folder)
        dry_runs = [_run(jobs, size, params) for size, params in _models(request).items()]
    if faults := _faults(dry_runs):
        raise ConfigError(format_errors(faults))
    return dry_runs


def _models(request: Request) -> dict[str, dict[str, Any]]:
    smallest, largest = request.space.smallest(), request.space.largest()
    return {"only": smallest} if smallest == largest else {"smallest": smallest, "largest": largest}


@contextmanager
def _temporary_folder(wanted: Path) -> Iterator[Path]:
    """A folder on the file system of the search, where every worker can reach it, and that is gone afterwards."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=".preflight-", dir=nearest_that_exists(wanted)))
    except OSError as error:
        raise ConfigError(cannot_create(wanted, error.strerror)) from None

    def leave(signum: int, _: object) -> None:
        """There is nothing to save. An exception could be caught on its way, by an import for one."""
        for worker in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
        shutil.rmtree(folder, ignore_errors=True)
        print(f"The preflight was stopped by {signal.Signals(signum).name}.", file=sys.stderr, flush=True)
        os._exit(128 + signum)

    try:
        with handled_by(leave):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(jobs: TrialJobs, size: str, params: dict[str, Any]) -> DryRun:
    overrides = [
        *jobs.overrides(params),
        f"hydra.sweep.subdir={size}",
        f"++trainer.fast_dev_run={N_BATCHES}",
        "++callbacks.stopwatch._target_=lightsweep.callbacks.stopwatch.Stopwatch",
        f"++callbacks.stopwatch.path=${{hydra:runtime.output_dir}}/{MEASURED}",
    ]
    folder = jobs.sweep_dir / size
    start = time.perf_counter()
    try:
        outcome = jobs.launch(overrides, number=0)
        fault = outcome.failed if isinstance(outcome, Outcome) else None
    except (*USER_ERRORS, TrialFailed) as error:
        fault = str(error)
    seconds = time.perf_counter() - start
    measured = json.loads((folder / MEASURED).read_text()) if fault is None else {}
    return DryRun(size, params, seconds, fault, measured, _bytes_in(folder))


def _bytes_in(folder: Path) -> int:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(-(-size // BLOCK) * BLOCK for size in sizes)


def _faults(dry_runs: list[DryRun]) -> list[str]:
    faults = {r.fault for r in dry_runs if r.fault}
    if len(dry_runs) == 2 and len(faults) == 1 and all(r.fault for r in dry_runs):
        return [f"the smallest and the largest model: {dry_runs[0].fault}"]
    return [f"the {r.size} model ({r.described()}): {r.fault}" for r in dry_runs if r.fault]
