"""Long-lived worker processes, each in an executor of its own, such that one that dies takes only its job with it."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any, TypeVar

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, env_override
from hydra.types import HydraContext, TaskFunction
from joblib import cpu_count
from omegaconf import DictConfig

from lightsweep.config.validation import POSITIVE_INT
from lightsweep.errors import ConfigError
from lightsweep.launcher.worker import App, failed_job, run_pickled, set_up

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_DIE = 5.0
SECONDS_BETWEEN_POLLS = 0.02

T = TypeVar("T")


class WorkerDied(Exception):  # noqa: N818  (what happened, like Optuna's TrialPruned)
    """The process that ran a job is gone; the message says how it ended. Other jobs are not affected."""


class WorkerPool:
    """As many workers as jobs were in flight at the same time, and no more; idle ones wait for the next job.

    They end when the pool is garbage and when the interpreter exits. If that is killed, a worker ends its job first.
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
        self._app: bytes | None = None
        self._idle: list[Worker] = []
        self._workers: set[Worker] = set()
        self._lock = threading.Lock()
        weakref.finalize(self, _end, self._workers).atexit = False  # then the executors end by themselves

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

    def abort(self) -> None:
        """Kill all workers."""
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
                app: App = (self.hydra_context, self.config, self.task_function, Singleton.get_state())
                self._app = cloudpickle.dumps(app)  # takes the task function of a script by value
            assert self._app is not None
            worker = Worker(self._app, n_threads=max(1, cpu_count() // self.n_jobs))
            self._workers.add(worker)
            return worker


class Worker:
    """One worker process; it heads a process group, so what it has forked goes with it."""

    def __init__(self, app: bytes, *, n_threads: int) -> None:
        self._executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        self._closing = threading.Lock()  # an executor can't be shut down by two threads at once
        threads = {name: str(n_threads) for name in THREADS if name not in os.environ}  # workers that share cores spin
        others = multiprocessing.active_children()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a Ctrl-C goes to every process
        try:
            with env_override(threads):
                self._ready = self._executor.submit(set_up, app)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        [self._process] = [each for each in multiprocessing.active_children() if each not in others]

    def run(self, number: int, overrides: Sequence[str]) -> bytes:
        """Run one job. Raises `WorkerDied`, also if the process ended while it was idle."""
        try:
            self._answer(self._ready)
            return self._answer(self._executor.submit(run_pickled, number, list(overrides)))
        except (RuntimeError, CancelledError):  # what the executor raises, `BrokenProcessPool` too
            raise WorkerDied(f"its process {self._how_it_ended()}") from None

    def is_alive(self) -> bool:
        # Both are asked: a process that it has forked keeps the one from being seen, the executor the other.
        return not connection.wait([self._process.sentinel], timeout=0) and self._process.exitcode is None

    def end(self) -> None:
        """Let it exit, and wait: an executor that closes while the interpreter exits would print a traceback."""
        with self._closing:
            self._executor.shutdown()

    def kill(self) -> None:
        """End it and what it has forked, now."""
        assert self._process.pid is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it is gone, or heads no group yet
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        with self._closing:
            self._executor.shutdown(cancel_futures=True)

    def _answer(self, future: "Future[T]") -> T:
        while not wait([future], timeout=SECONDS_BETWEEN_LOOKS).done:
            # The executor does not see the death of a process as long as one that it has forked lives.
            if not self.is_alive() and not future.done():
                raise BrokenProcessPool
        return future.result()

    def _how_it_ended(self) -> str:
        deadline = time.monotonic() + SECONDS_TO_DIE
        while self._process.exitcode is None and time.monotonic() < deadline:
            time.sleep(SECONDS_BETWEEN_POLLS)  # a thread of the executor may have the exit code first
        code = self._process.exitcode
        if code is None:
            return "closed its connection"
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"


def _end(workers: set[Worker]) -> None:
    with ThreadPoolExecutor() as threads:
        for worker in workers:
            threads.submit(worker.end)


def _returned(answer: bytes, overrides: Sequence[str]) -> JobReturn:
    try:
        returned: Any = cloudpickle.loads(answer)
    except Exception as error:  # noqa: BLE001  (anything may go wrong in the methods of another's class)
        return failed_job(overrides, f"its result can't be read: {error}")
    if isinstance(returned, Exception):
        raise returned
    assert isinstance(returned, JobReturn)
    return returned
