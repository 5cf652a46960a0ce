"""The worker processes as the driver sees them: taken when a job comes, kept for the next one, replaced when dead."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from multiprocessing import Pipe
from typing import Any

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from joblib import cpu_count
from omegaconf import DictConfig

from lightsweep.checks import POSITIVE_INT
from lightsweep.errors import ConfigError
from lightsweep.launcher.worker import START, App, failed_job

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_LEAVE = 5.0


class WorkerDied(Exception):  # noqa: N818  (what happened, like Optuna's TrialPruned)
    """The process that ran a job is gone; the message says how it ended. Other jobs are not affected."""


class WorkerPool:
    """As many workers as jobs were in flight at the same time, and no more; idle ones wait for the next job.

    They end when the pool is garbage, when the interpreter exits, and when it is killed.
    """

    def __init__(
        self, *, n_jobs: int | None, config: DictConfig, hydra_context: HydraContext, task_function: TaskFunction
    ) -> None:
        if n_jobs is not None and not POSITIVE_INT.holds(n_jobs):
            raise ConfigError(
                f"hydra.launcher.n_jobs is {n_jobs}; it must be {POSITIVE_INT.must_be}, or null for one job per core."
            )
        self.n_jobs = n_jobs or cpu_count()
        self.config = config
        self.hydra_context = hydra_context
        self.task_function = task_function
        self._serves_search = False
        self._app: bytes | None = None
        self._idle: list[Worker] = []
        self._workers: set[Worker] = set()
        self._lock = threading.Lock()
        weakref.finalize(self, _end_all, self._workers, self._idle)  # runs at exit, too

    def run(self, job_overrides: Sequence[Sequence[str]], *, initial_job_idx: int) -> list[JobReturn]:
        """Run the jobs, `n_jobs` at a time, and raise the first error only after all have ended."""
        jobs = list(enumerate(job_overrides, start=initial_job_idx))
        if len(jobs) == 1:
            return [self._run_one(*jobs[0])]
        with ThreadPoolExecutor(self.n_jobs) as threads:
            try:
                futures = [threads.submit(self._run_one, number, overrides) for number, overrides in jobs]
                wait(futures)
            except BaseException:  # Ctrl-C
                threads.shutdown(wait=False, cancel_futures=True)
                self.abort()
                raise
        return [future.result() for future in futures]

    def serve_search(self) -> None:
        """Let the workers that are started from now on run their jobs as `run_search_job` does."""
        self._serves_search = True

    def abort(self) -> None:
        with self._lock:
            workers = list(self._workers)
            self._workers.clear()
            self._idle.clear()
            for worker in workers:
                worker.kill()

    def _run_one(self, number: int, overrides: Sequence[str]) -> JobReturn:
        worker = self._take()
        try:
            answer = worker.run(number, overrides)
        except BaseException:
            with self._lock:
                self._workers.discard(worker)
            worker.kill()
            raise
        with self._lock:
            if worker in self._workers:  # not aborted
                self._idle.append(worker)
        return _returned(answer, overrides)

    def _take(self) -> "Worker":
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive():
                    return worker
                self._workers.discard(worker)
            if self._app is None:
                self._app = self._pickled_app()
            worker = Worker(self._app, n_threads=max(1, cpu_count() // self.n_jobs))
            self._workers.add(worker)
            return worker

    def _pickled_app(self) -> bytes:
        app = App(
            config=self.config,
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            singletons=Singleton.get_state(),
            serves_search=self._serves_search,
        )
        pickled = cloudpickle.dumps(app)  # takes the task function of a script by value: no worker runs the script
        assert isinstance(pickled, bytes)
        return pickled


class Worker:
    """One worker process; it heads a process group, so what it has forked goes with it, and a Ctrl-C passes it by."""

    def __init__(self, app: bytes, *, n_threads: int) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", START.format(path=sys.path, fd=theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                process_group=0,
                env={**dict.fromkeys(THREADS, str(n_threads)), **os.environ},  # workers that share cores spin
            )
        self._unsent: bytes | None = app

    def run(self, number: int, overrides: Sequence[str]) -> bytes:
        """Run one job. Raises `WorkerDied`, also if the process ended while it was idle."""
        try:
            if self._unsent is not None:
                self.connection.send_bytes(self._unsent)
                self._unsent = None
            self.connection.send((number, list(overrides)))
            while not self.connection.poll(SECONDS_BETWEEN_LOOKS):
                # Its end of the connection is not closed before the processes that it has forked have ended.
                if not self.is_alive() and not self.connection.poll():
                    raise EOFError
            return self.connection.recv_bytes()
        except (EOFError, OSError):
            raise WorkerDied(f"its process {self._how_it_ended()}") from None

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """End it and what it has forked, now."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it is gone
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def leave(self) -> None:
        """Let it exit as soon as its job is done."""
        self.connection.close()

    def _how_it_ended(self) -> str:
        try:
            code = self.process.wait(timeout=SECONDS_TO_LEAVE)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"


def _returned(answer: bytes, overrides: Sequence[str]) -> JobReturn:
    try:
        returned: Any = cloudpickle.loads(answer)
    except Exception as error:  # noqa: BLE001  (anything may go wrong in the methods of another's class)
        return failed_job(overrides, f"its result can't be read: {error}")
    if isinstance(returned, Exception):
        raise returned
    assert isinstance(returned, JobReturn)
    return returned


def _end_all(workers: set[Worker], idle: list[Worker]) -> None:
    for worker in workers.difference(idle):
        worker.kill()
    for worker in idle:
        worker.leave()
    deadline = time.monotonic() + SECONDS_TO_LEAVE
    for worker in idle:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(timeout=max(0.0, deadline - time.monotonic()))
        worker.kill()
