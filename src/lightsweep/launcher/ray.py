"""One Ray session for a whole search; imported only for `hydra/launcher=ray`.

The plugin starts Ray in the first `launch`, if it is not running. Here several threads launch at once: each would start
a Ray of its own, and Ray's processes end with the thread that started them, before the best trial is refitted. It also
has no way to end a running job.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, Queue
from typing import Any, cast

import ray
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from lightsweep.errors import ConfigError
from lightsweep.failures import in_one_line
from lightsweep.interrupt import Interrupted, handled_by
from lightsweep.launcher.worker import App, load, run_pickled, unpickled
from lightsweep.storage.password import variables_of_storage
from lightsweep.sweeper.config import DRIVER

SECONDS_BETWEEN_CHECKS = 0.2
SECONDS_TO_START = 20.0  # of a worker: Ray starts its process, which imports torch


class RayJobs(Launcher):
    """Runs jobs in the running Ray session, with the settings of Hydra's Ray launcher; `abort` ends them.

    Each job runs in an actor, a worker of Ray that keeps the config for the next job. An actor is started when none is
    idle. `launch` may be called from several threads at the same time.
    """

    def __init__(self, remote: Mapping[str, Any]) -> None:
        self.remote = {"num_cpus": 1, **remote}  # Ray's own default for an actor is none
        self._app: bytes | None = None
        self._idle: Queue[Any] = Queue()
        self._actors: set[Any] = set()
        self._aborted = False
        self._lock = threading.Lock()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config
        # The workers of a cluster do not inherit them. A password among them stays in memory: it travels with the app,
        # while Ray writes `runtime_env` into its logs and shows it in its dashboard.
        self.variables = {DRIVER: os.environ[DRIVER], **variables_of_storage(config)}

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Return one `JobReturn` per job, in order. Raises an exception of Ray if the worker of a job is lost."""
        return [self._run(n, overrides) for n, overrides in enumerate(job_overrides, start=initial_job_idx)]

    def abort(self) -> None:
        """Kill all workers; every running `launch` raises, and a later one, too.

        Ray must not end before: it exits the whole process if a thread still waits for a job.
        """
        with self._lock:
            self._aborted = True
            actors = list(self._actors)
        for actor in actors:
            ray.kill(actor)

    def _run(self, number: int, overrides: Sequence[str]) -> JobReturn:
        try:
            actor = self._idle.get_nowait()
        except Empty:
            actor = self._new_actor()
        try:
            result = ray.get(actor.run.remote(number, list(overrides)))
        except BaseException:
            self._end(actor)
            raise
        self._idle.put(actor)
        return unpickled(result, overrides)

    def _new_actor(self) -> Any:
        """Start an actor and return it, or return another one that becomes idle while Ray has no room for a new one.

        An actor needs `SECONDS_TO_START` even with room. Short trials would otherwise all run in the first one.
        """
        with self._lock:
            if self._aborted:
                raise RuntimeError("the search was stopped")
            if self._app is None:  # not before: the folder of the search is chosen when the session has begun
                app = App(self.hydra_context, self.config, self.task_function, Singleton.get_state())
                self._app = app.pickled()
            new = self._actor_class().remote(self._app, self.variables)
            self._actors.add(new)
        started, deadline = [new.is_ready.remote()], time.monotonic() + SECONDS_TO_START
        while not ray.wait(started, timeout=SECONDS_BETWEEN_CHECKS)[0]:
            if time.monotonic() < deadline:
                continue
            with suppress(Empty):
                idle = self._idle.get(timeout=SECONDS_BETWEEN_CHECKS)
                self._end(new)
                return idle
        return new

    def _actor_class(self) -> Any:
        try:
            return ray.remote(**self.remote)(TrialWorker)
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"hydra.launcher.ray.remote is {self.remote}, which Ray refuses for a worker: {in_one_line(error)}"
            ) from None

    def _end(self, actor: Any) -> None:
        with self._lock:
            self._actors.discard(actor)
        ray.kill(actor)


class TrialWorker:
    """An actor, that is a process of Ray that runs one job after the other."""

    def __init__(self, app: bytes, variables: Mapping[str, str]) -> None:
        os.environ.update(variables)
        load(app)

    def is_ready(self) -> bool:
        return True

    def run(self, number: int, overrides: list[str]) -> bytes:
        return run_pickled(number, overrides)


@contextmanager
def ray_session(plugin: Launcher) -> Iterator[Launcher]:
    """Start Ray as `hydra.launcher.ray.init` says, or connect to its cluster; end that after the block.

    Yield the launcher for the jobs. Call it in the main thread. Raise `Interrupted` on a signal, and `ConfigError` if
    Ray does not start.
    """
    settings = cast(dict[str, Any], OmegaConf.to_container(cast(Any, plugin).ray_cfg, resolve=True))
    jobs = RayJobs(settings["remote"])
    jobs.setup(
        hydra_context=cast(Any, plugin).hydra_context,
        task_function=cast(Any, plugin).task_function,
        config=cast(Any, plugin).config,
    )
    if ray.is_initialized():  # by the caller, who ends it
        yield jobs
        return
    try:
        _init(settings["init"])
        _warn_if_crowded(jobs.remote, n_jobs=OmegaConf.select(jobs.config, "hydra.sweeper.n_jobs", default=1))
        yield jobs
    finally:
        ray.shutdown()  # a cluster of others runs on


def _init(settings: dict[str, Any]) -> None:
    """Start Ray. A first signal waits for the end of it, because a half-started Ray leaves processes behind."""
    signalled: list[int] = []

    def interrupt(signum: int, _: object) -> None:
        signalled.append(signum)
        if len(signalled) > 1:
            raise Interrupted(signum)

    try:
        with handled_by(interrupt):
            ray.init(**settings)
    except SystemExit:  # from the handler of SIGTERM that Ray sets
        raise Interrupted(signal.SIGTERM) from None
    except Exception as error:  # noqa: BLE001  (each setting has its own)
        raise ConfigError(
            f"hydra.launcher.ray.init is {settings}, with which Ray does not start: {in_one_line(error)}. Change these"
            " settings, or choose hydra/launcher=processes."
        ) from None
    if signalled:
        raise Interrupted(signalled[0])


def _warn_if_crowded(remote: Mapping[str, Any], *, n_jobs: int) -> None:
    """Warn if fewer than `n_jobs` trials find their CPUs and GPUs at the same time. Ray lets the others wait."""
    per_trial = {"CPU": remote["num_cpus"], "GPU": remote.get("num_gpus"), **(remote.get("resources") or {})}
    wanted = {name: amount for name, amount in per_trial.items() if amount}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    n_slots = sum(
        min(int(node.get(name, 0) / amount + 1e-9) for name, amount in wanted.items()) for node in nodes if wanted
    )
    if wanted and n_slots < n_jobs:
        each = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
        print(
            f"warning: hydra.sweeper.n_jobs is {n_jobs}, but Ray has room for {n_slots} at a time, with {each} per"
            " trial; the others wait. hydra.launcher.ray.remote says what a trial gets, hydra.launcher.ray.init what"
            " this machine has.",
            file=sys.stderr,
        )
