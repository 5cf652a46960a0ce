"""The dry run of a preflight: train the smallest and the largest model for a few batches and measure the cost."""

import contextlib
import json
import math
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
from lightsweep.search.folder import cannot_create, nearest_existing, use_folder
from lightsweep.search.jobs import TrialFailed, TrialJobs, session_of
from lightsweep.search.request import Request
from lightsweep.trial.outcome import Outcome

N_BATCHES = 10
MEASURED = "measured.json"
S_PER_EPOCH = 0.005  # Lightning's overhead, measured on the digits
S_PER_JOB = 0.3  # overhead of Hydra and the launcher, measured with joblib
BLOCK = 4096  # bytes; a file takes a multiple of it on disk


@dataclass(frozen=True)
class DryRun:
    """The measurements of one model, or the reason why it failed.

    `measured` is what the callback `Stopwatch` wrote, empty after a failure. `seconds` is the time of the whole job.
    `folder_bytes` is the size of its folder without checkpoints.
    """

    size: str
    params: Mapping[str, Any]
    seconds: float
    failure: str | None
    measured: Mapping[str, Any]
    folder_bytes: int

    def described(self) -> str:
        return " ".join(f"{name}={format_value(value)}" for name, value in self.params.items())

    def epoch_s(self, *, n_batches: int | None) -> float | None:
        """Return the seconds of an epoch with validation and checkpoint, None if a number of batches is unknown."""
        m = self.measured
        if n_batches is None or m["n_val_batches"] is None:
            return None
        batches = n_batches * m["s_per_batch"] + m["n_val_batches"] * m["s_per_val_batch"]
        return float(batches + m["s_per_checkpoint"] + S_PER_EPOCH)

    def overhead_s(self, *, warm: bool) -> float:
        """Return the seconds of the job that do not depend on the number of epochs.

        With `warm`, the costs of the first job of a process are left out, mainly the import of torch.
        """
        m = self.measured
        seconds = m["s_since_set_up"] + S_PER_JOB if warm else self.seconds
        return max(0.0, float(seconds - m["s_in_batches"] - m["s_per_checkpoint"]))


def dry_run(
    request: Request, *, config: DictConfig, hydra_context: HydraContext, task_function: TaskFunction
) -> list[DryRun]:
    """Run each model as a job of the search's launcher, in a temporary folder and without a study.

    Raises one `ConfigError` with all failures.
    """
    with _temporary_folder(Path(config.hydra.sweep.dir).absolute()) as folder:
        use_folder(config, folder)
        plugin = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )
        smallest, largest = request.space.smallest(), request.space.largest()
        models = {"only": smallest} if smallest == largest else {"smallest": smallest, "largest": largest}
        with session_of(plugin) as launcher:
            jobs = TrialJobs(launcher=launcher, space=request.space, fixed=request.fixed, sweep_dir=folder)
            dry_runs = [_run(jobs, size, params) for size, params in models.items()]
    if problems := _problems(dry_runs):
        raise ConfigError(format_errors(problems))
    return dry_runs


@contextmanager
def _temporary_folder(wanted: Path) -> Iterator[Path]:
    """Create a folder on the file system of the search, which every worker can access, and remove it afterwards."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=".preflight-", dir=nearest_existing(wanted)))
    except OSError as error:
        raise ConfigError(cannot_create(wanted, error.strerror)) from None

    def exit_at_once(signum: int, _: object) -> None:
        """Exit at once: there is nothing to save, and other code might catch an exception, such as an import."""
        for worker in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
        shutil.rmtree(folder, ignore_errors=True)
        print(f"The preflight was stopped by {signal.Signals(signum).name}.", file=sys.stderr, flush=True)
        os._exit(128 + signum)

    try:
        with handled_by(exit_at_once):
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
        failure = outcome.failed if isinstance(outcome, Outcome) else None
    except (*USER_ERRORS, TrialFailed) as error:
        failure = str(error)
    seconds = time.perf_counter() - start
    measured = json.loads((folder / MEASURED).read_text()) if failure is None else {}
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    folder_bytes = sum(math.ceil(n_bytes / BLOCK) * BLOCK for n_bytes in sizes)
    return DryRun(size, params, seconds, failure, measured, folder_bytes)


def _problems(dry_runs: list[DryRun]) -> list[str]:
    failed = [run for run in dry_runs if run.failure]
    if len(failed) == 2 and failed[0].failure == failed[1].failure:
        return [f"the smallest and the largest model: {failed[0].failure}"]
    return [f"the {run.size} model ({run.described()}): {run.failure}" for run in failed]
