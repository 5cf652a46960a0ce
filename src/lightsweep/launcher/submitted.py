"""The code of a job that submitit started: it runs one trial after the other, and ends between two of them."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
from hydra.core.utils import JobReturn, JobStatus

from lightsweep.launcher.worker import pickled, result_of
from lightsweep.sweeper.config import DRIVER
from lightsweep.trial.driver import ask_to_end, has_sigterm, is_orphaned
from lightsweep.trial.outcome import Outcome

IDLE_S = 60.0  # that a job waits for its next trial
POLL_S = 0.2


class Task(NamedTuple):
    """What a launcher's `__call__` needs of a trial."""

    overrides: list[str]
    number: int
    singletons: Any  # the state of Hydra's singletons in the driver


class Exchange(NamedTuple):
    """The files through which a driver and one of its jobs exchange trials and results."""

    folder: Path
    job_id: str

    def result(self, n: int) -> Path:
        return self.folder / f"{self.job_id}_trial_{n}_result.pkl"

    def task(self, n: int) -> Path:
        """Return the file of the n-th task, counted from 0; the first one is part of the submission.

        Whoever creates it decides: the driver fills it, and a job that leaves creates an empty one.
        """
        return self.folder / f"{self.job_id}_trial_{n}.pkl"

    def give(self, n: int, task: Task) -> bool:
        """Give the job its n-th task. Return False if it has left."""
        path = _written(self.task(n), cloudpickle.dumps(task))
        try:
            self.task(n).hardlink_to(path)
        except FileExistsError:
            return False
        finally:
            path.unlink()
        return True

    def leave(self, n: int) -> bool:
        """Take no n-th task. Return False if the driver has given it."""
        try:
            self.task(n).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def serve(launcher: Any, *, driver: str, first: Task, n_tasks: int) -> None:
    """Run up to `n_tasks` tasks with the plugin's launcher. `driver` is the value of the environment variable DRIVER.

    A scheduler may start a job without the environment of its driver, and long after its driver is gone.
    """
    import submitit

    os.environ[DRIVER] = driver
    here = submitit.JobEnvironment()
    # A first signal announces the end of the job. Submitit's handlers would ignore it, or raise in the training.
    for signum in (signal.SIGTERM, signal.Signals[f"SIG{here.USR_SIG}"]):
        signal.signal(signum, ask_to_end)
    exchange = Exchange(here.paths.folder, here.job_id)
    task: Task | None = first
    n = 0
    while task is not None and not is_orphaned():
        returned = _run(launcher, task)
        _written(exchange.result(n), pickled(returned)).replace(exchange.result(n))
        n += 1
        task = None if n == n_tasks or _is_interrupted(returned) else _next_task(exchange, n)


def _run(launcher: Any, task: Task) -> JobReturn | Exception:
    return result_of(
        lambda: launcher(task.overrides, "hydra.sweep.dir", task.number, str(task.number), task.singletons),
        task.overrides,
    )


def _is_interrupted(returned: JobReturn | Exception) -> bool:
    if not isinstance(returned, JobReturn) or returned.status != JobStatus.COMPLETED:
        return False
    return isinstance(returned.return_value, Outcome) and returned.return_value.interrupted


def _next_task(exchange: Exchange, n: int) -> Task | None:
    path, deadline = exchange.task(n), time.monotonic() + IDLE_S
    while not path.exists():
        if (has_sigterm() or is_orphaned() or time.monotonic() > deadline) and exchange.leave(n):
            return None
        time.sleep(POLL_S)
    task: Task = cloudpickle.loads(path.read_bytes())
    path.unlink()  # from now on it is the fault of the task if the job dies
    return task


def _written(path: Path, content: bytes) -> Path:
    """Write a file beside `path`, to be renamed: readers find it complete or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(content)
    return unfinished


def interrupted_job(overrides: Sequence[str]) -> JobReturn:
    """Return what stands for a job that never began, or was ended for no fault of its own."""
    job = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
    job.return_value = Outcome(interrupted=True)
    return job
