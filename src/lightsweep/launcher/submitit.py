"""`hydra/launcher=submitit_slurm` and `submitit_local`: starts, watches and ends the jobs of a search.

The plugin's own `launch` waits in a way that notices a killed job after minutes, and on a cluster without accounting
never. It does not tell its jobs, which a search must end. So here the plugin gives its settings and runs the trial in
the job, and submitit submits.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lightsweep.errors import ConfigError
from lightsweep.failures import in_one_line
from lightsweep.files import shown
from lightsweep.launcher.slurm import GONE, LocalJobs, SlurmJobs
from lightsweep.launcher.submitted import Exchange, Task, interrupted_job, serve
from lightsweep.launcher.worker import unpickled
from lightsweep.sweeper.config import DRIVER

CLUSTERS = {"SlurmLauncher": "slurm", "LocalLauncher": "local"}
POLL_S = 0.2
RESULT_S = 15.0  # that the result of a job that completed may need on a network file system
RESUBMIT_S = 30.0


class JobLost(Exception):  # noqa: N818  (an outcome, like Optuna's TrialPruned)
    """A job ended without a result; the message says how."""


@dataclass(eq=False)
class Worker:
    """A job of submitit, which runs `n_given` trials, the last of them now."""

    exchange: Exchange
    submitted_at: float
    n_given: int = 1

    @property
    def result(self) -> Path:
        """Return the file of the last task's result."""
        return self.exchange.result(self.n_given - 1)

    def has_left_task(self) -> bool:
        return self.n_given > 1 and self.exchange.task(self.n_given - 1).exists()


class SubmititLauncher(Launcher):
    """Runs jobs as the plugin's launcher `plugin` is configured. `launch` may be called from several threads."""

    def __init__(self, plugin: Any, *, trials_per_job: int) -> None:
        self.plugin = plugin
        self.trials_per_job = trials_per_job
        self.jobs = SlurmJobs(str(plugin.params["name"])) if cluster_of(plugin) == "slurm" else LocalJobs()
        self._executor: Any = None  # made for the first job, because it writes into the folder of the search
        self._idle: list[Worker] = []
        self._any_accepted = False
        self._queue_is_closed = False
        self._lock = threading.Lock()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Do nothing: Hydra has set up the plugin."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run one job after the other. Raise `JobLost` if one ended without a result."""
        return [self._run(list(overrides), number) for number, overrides in enumerate(job_overrides, initial_job_idx)]

    def close_queue(self) -> None:
        """Let the running jobs end, and no other begin. Signal handlers may call it."""
        self._queue_is_closed = True

    def open_queue(self) -> None:
        self._queue_is_closed = False

    def close(self) -> None:
        """End the jobs that wait for a next trial."""
        if self._idle:
            self.abort()

    def abort(self) -> None:
        """Kill all jobs of this search."""
        self.close_queue()
        with self._lock:  # after a submission that is under way
            self._idle.clear()
            self.jobs.kill()

    def _run(self, overrides: list[str], number: int) -> JobReturn:
        task = Task(overrides, number, Singleton.get_state())
        worker = self._worker_with(task)
        if worker is None or not self._wait_for(worker):
            return interrupted_job(overrides)
        if not worker.result.exists():  # the job ended before it took the task
            return self._run(overrides, number)
        returned = unpickled(worker.result.read_bytes(), overrides)
        if worker.n_given < self.trials_per_job:
            with self._lock:
                self._idle.append(worker)
        return returned

    def _worker_with(self, task: Task) -> Worker | None:
        """Give the task to a job that waits for one, or submit one. Return None if the queue is closed before that."""
        refused_at = None
        while not self._queue_is_closed:
            if refused_at is not None and time.monotonic() < refused_at + RESUBMIT_S:
                time.sleep(POLL_S)
                continue
            with self._lock:
                while self._idle:
                    worker = self._idle.pop()
                    worker.n_given += 1
                    if worker.exchange.give(worker.n_given - 1, task):
                        return worker
                if self._queue_is_closed:
                    return None
                try:
                    return self._submit(task)
                except ConfigError:
                    raise
                except Exception as error:  # noqa: BLE001  (whatever the scheduler says)
                    reason = " ".join(str(error).split())
                    if not self._any_accepted:
                        raise ConfigError(f"the scheduler refuses the settings of hydra.launcher: {reason}") from None
                    if refused_at is None:
                        print(f"no job can be submitted now, so it is tried again: {reason}", file=sys.stderr)
                    refused_at = time.monotonic()
        return None

    def _submit(self, task: Task) -> Worker:
        self._executor = self._executor or self._new_executor()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a Ctrl-C is sent to every process
        try:
            job = self._executor.submit(
                serve, self.plugin, driver=os.environ[DRIVER], first=task, n_tasks=self.trials_per_job
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._any_accepted = True
        self.jobs.add(job)
        return Worker(Exchange(job.paths.folder, job.job_id), submitted_at=time.monotonic())

    def _wait_for(self, worker: Worker) -> bool:
        """Wait for the result of the worker's last task, or until its job has ended without having taken that.

        Return False if the job was ended for no fault of the trial. Raise `JobLost` if it ended otherwise.
        """
        deadline = None
        while not worker.result.exists():
            end = self.jobs.end_of(worker.exchange.job_id, since=worker.submitted_at)
            if end is None:
                if self._queue_is_closed:
                    self.jobs.cancel_queued()
            elif end == "PREEMPTED" or (end == "CANCELLED" and self._queue_is_closed):
                return worker.result.exists()
            elif worker.has_left_task():
                return True
            else:
                deadline = deadline or time.monotonic() + (RESULT_S if end in ("COMPLETED", GONE) else 0)
                if time.monotonic() >= deadline and not worker.result.exists():
                    raise JobLost(
                        f"its job {worker.exchange.job_id} ended as {end}, see {shown(worker.exchange.folder)}"
                    )
            time.sleep(POLL_S)
        return True

    def _new_executor(self) -> Any:
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

        cluster = cluster_of(self.plugin)
        params = {**self.plugin.params, **self.jobs.params(self.plugin.params)}
        shared = {field.name for field in fields(BaseQueueConf)}
        of_executor = {f"{cluster}_{key}": params.pop(key) for key in ("max_num_timeout", "python") if key in params}
        try:
            del params["submitit_folder"]  # as it was before the folder of the search was chosen
            folder = self.plugin.config.hydra.launcher.submitit_folder
            executor = submitit.AutoExecutor(folder, cluster=cluster, **of_executor)
            executor.update_parameters(
                **{key if key in shared else f"{cluster}_{key}": value for key, value in params.items()}
            )
        except Exception as error:  # noqa: BLE001  (each setting has its own)
            raise ConfigError(f"hydra.launcher has settings that submitit refuses: {in_one_line(error)}.") from None
        return executor


def cluster_of(launcher: object) -> str | None:
    """Return submitit's name of the cluster of a launcher, None for a launcher of another plugin."""
    return CLUSTERS.get(type(launcher).__name__) if "submitit" in type(launcher).__module__ else None
