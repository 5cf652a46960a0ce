"""Worker processes that are reused. Each has its own executor, so that a dead worker affects only its own job."""

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
from typing import TypeVar

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, env_override
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lightsweep.config.validation import POSITIVE_INT
from lightsweep.errors import ConfigError
from lightsweep.launcher.gpus import Gpus, environment_of
from lightsweep.launcher.worker import App, run_pickled, set_up, unpickled

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SECONDS_BETWEEN_CHECKS = 1.0
SECONDS_TO_EXIT = 5.0
SECONDS_BETWEEN_POLLS = 0.02

T = TypeVar("T")


class WorkerDied(Exception):  # noqa: N818  (an outcome, like Optuna's TrialPruned)
    """The process that ran a job has exited; the message says how. Other jobs are not affected."""


class WorkerPool:
    """Starts a worker whenever none is idle, so it has as many as jobs ran at the same time.

    A new worker gets the GPU with the fewest living workers, so one that replaces a dead worker takes its GPU.
    The workers exit when the pool is garbage-collected or the interpreter exits. If the driver is killed, each
    worker finishes its job first.
    """

    def __init__(
        self,
        *,
        n_jobs: int | None,
        gpus: Gpus,
        config: DictConfig,
        hydra_context: HydraContext,
        task_function: TaskFunction,
    ) -> None:
        if n_jobs is not None and not POSITIVE_INT.holds(n_jobs):
            raise ConfigError(
                f"hydra.launcher.n_jobs is {n_jobs}; it must be {POSITIVE_INT.must_be}, or null for one job per core,"
                " or for as many as the GPUs hold."
            )
        self.n_jobs = gpus.n_workers(n_jobs)
        self.gpus = gpus
        self.config = config
        self.hydra_context = hydra_context
        self.task_function = task_function
        self._app: bytes | None = None
        self._idle: list[Worker] = []
        self._workers: set[Worker] = set()
        self._lock = threading.Lock()
        weakref.finalize(self, _shut_down, self._workers).atexit = False  # executors shut down by themselves then

    def run(self, job_overrides: Sequence[Sequence[str]], *, initial_job_idx: int) -> list[JobReturn]:
        """Run the jobs, `n_jobs` at a time. The first error is raised after all jobs have ended."""
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
        worker = self._idle_or_new_worker()
        try:
            result = worker.run(number, overrides)
        except BaseException:
            with self._lock:
                self._workers.discard(worker)
            worker.kill()
            raise
        with self._lock:
            if worker in self._workers:  # not aborted
                self._idle.append(worker)
        return unpickled(result, overrides)

    def _idle_or_new_worker(self) -> "Worker":
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive():
                    return worker
                self._workers.discard(worker)
            if self._app is None:
                app = App(self.hydra_context, self.config, self.task_function, Singleton.get_state())
                self._app = app.pickled()
            worker = Worker(self._app, gpu=self.gpus.next_for(w.gpu for w in self._workers if w.is_alive()))
            self._workers.add(worker)
            return worker


class Worker:
    """One worker process. It leads a process group, so that `kill` also ends the processes that it forked.

    It computes with one thread, unless the environment or `threads` says otherwise, and sees its own GPU alone if it
    has one.
    """

    def __init__(self, app: bytes, *, gpu: str | None) -> None:
        self.gpu = gpu
        self._executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        self._shutdown_lock = threading.Lock()  # two threads can't shut down an executor at the same time
        threads = {name: "1" for name in THREAD_VARIABLES if name not in os.environ}
        others = multiprocessing.active_children()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a Ctrl-C is sent to every process
        try:
            # Workers with more threads than cores slow each other down, and CUDA reads its variables only once.
            with env_override(threads | environment_of(gpu)):
                self._ready = self._executor.submit(set_up, app)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        [self._process] = [child for child in multiprocessing.active_children() if child not in others]

    def run(self, number: int, overrides: Sequence[str]) -> bytes:
        """Run one job. Raises `WorkerDied`, also if the process exited while it was idle."""
        try:
            self._wait_for(self._ready)
            return self._wait_for(self._executor.submit(run_pickled, number, list(overrides)))
        except (RuntimeError, CancelledError):  # raised by the executor; includes `BrokenProcessPool`
            raise WorkerDied(f"its process {self._exit_reason()}") from None

    def is_alive(self) -> bool:
        # Neither check is enough: a forked child keeps the sentinel open, the executor may take the exit code.
        return not connection.wait([self._process.sentinel], timeout=0) and self._process.exitcode is None

    def shut_down(self) -> None:
        """Let the process exit, and wait: an executor that closes during interpreter exit prints a traceback."""
        with self._shutdown_lock:
            self._executor.shutdown()

    def kill(self) -> None:
        """Kill the process and those that it forked."""
        assert self._process.pid is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has exited, or leads no group yet
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        with self._shutdown_lock:
            self._executor.shutdown(cancel_futures=True)

    def _wait_for(self, future: "Future[T]") -> T:
        while not wait([future], timeout=SECONDS_BETWEEN_CHECKS).done:
            # The executor notices a dead process only after the processes that it forked have exited.
            if not self.is_alive() and not future.done():
                raise BrokenProcessPool
        return future.result()

    def _exit_reason(self) -> str:
        deadline = time.monotonic() + SECONDS_TO_EXIT
        while self._process.exitcode is None and time.monotonic() < deadline:
            time.sleep(SECONDS_BETWEEN_POLLS)  # a thread of the executor may read the exit code first
        code = self._process.exitcode
        if code is None:
            return "closed its connection"
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"


def _shut_down(workers: set[Worker]) -> None:
    with ThreadPoolExecutor() as threads:
        for worker in workers:
            threads.submit(worker.shut_down)
