"""One Ray session for a whole search; imported only for `hydra/launcher=ray`.

The plugin starts Ray in the first `launch`, if it is not running. Here several threads launch at once: each would start
a Ray of its own, and Ray's processes end with the thread that started them, before the best trial is refitted. It also
has no way to end a running job.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import ray
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from lightsweep.errors import ConfigError
from lightsweep.failures import in_one_line
from lightsweep.interrupt import Interrupted, handled_by
from lightsweep.launcher.worker import job_config, run_in_folder
from lightsweep.storage.password import variables_of_storage
from lightsweep.sweeper.config import DRIVER


class RayJobs(Launcher):
    """Runs jobs in the running Ray session, with the settings of Hydra's Ray launcher; `abort` ends them.

    `launch` may be called from several threads at the same time.
    """

    def __init__(self, remote: Mapping[str, Any]) -> None:
        self.remote = remote
        self._jobs: set[Any] = set()
        self._aborted = False
        self._lock = threading.Lock()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config
        # The workers of a cluster do not inherit them. A password among them stays in memory: it travels with the job,
        # while Ray writes `runtime_env` into its logs and shows it in its dashboard.
        self.variables = {DRIVER: os.environ[DRIVER], **variables_of_storage(config)}

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Return one `JobReturn` per job, in order. Raises an exception of Ray if the worker of a job is lost."""
        jobs = [self._submit(n, overrides) for n, overrides in enumerate(job_overrides, start=initial_job_idx)]
        try:
            return [cast(JobReturn, ray.get(job)) for job in jobs]
        finally:
            with self._lock:
                self._jobs.difference_update(jobs)

    def abort(self) -> None:
        """Kill the workers of all running jobs; every running `launch` raises, and a later one, too.

        Ray must not end before: it exits the whole process if a thread still waits for a job.
        """
        with self._lock:
            self._aborted = True
            jobs = list(self._jobs)
        for job in jobs:
            ray.cancel(job, force=True)

    def _submit(self, number: int, overrides: Sequence[str]) -> Any:
        config = job_config(self.hydra_context, self.config, number=number, overrides=overrides)
        run = ray.remote(**self.remote)(_run) if self.remote else ray.remote(_run)
        with self._lock:
            if self._aborted:
                raise RuntimeError("the search was stopped")
            job = run.remote(self.hydra_context, config, self.task_function, Singleton.get_state(), self.variables)
            self._jobs.add(job)
        return job


def _run(
    hydra_context: HydraContext,
    config: DictConfig,
    task_function: TaskFunction,
    singletons: Any,
    variables: Mapping[str, str],
) -> JobReturn:
    """Run a job in a worker."""
    os.environ.update(variables)
    setup_globals()
    Singleton.set_state(singletons)
    HydraConfig.instance().set_config(config)
    return run_in_folder(hydra_context, config, task_function)


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
    per_trial = {"CPU": remote.get("num_cpus", 1), "GPU": remote.get("num_gpus"), **(remote.get("resources") or {})}
    wanted = {name: amount for name, amount in per_trial.items() if amount}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    n_slots = sum(min(int(node.get(name, 0) // amount) for name, amount in wanted.items()) for node in nodes if wanted)
    if wanted and n_slots < n_jobs:
        each = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
        print(
            f"warning: hydra.sweeper.n_jobs is {n_jobs}, but Ray has room for {n_slots} at a time, with {each} per"
            " trial; the others wait. hydra.launcher.ray.remote says what a trial gets, hydra.launcher.ray.init what"
            " this machine has.",
            file=sys.stderr,
        )
