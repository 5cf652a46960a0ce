"""The launcher plugin. Hydra imports this module at every start, so its imports are light."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lightsweep.launcher import config as config


class ProcessesLauncher(Launcher):
    """`hydra/launcher=processes`: runs jobs in worker processes that are reused; see `pool.py`.

    `launch` may be called from several threads at the same time.
    """

    def __init__(self, *, n_jobs: int | None, gpus: Any = None, workers_per_gpu: int = 1) -> None:
        self.n_jobs = n_jobs
        self.gpus = gpus
        self.workers_per_gpu = workers_per_gpu

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from lightsweep.launcher.gpus import Gpus
        from lightsweep.launcher.pool import WorkerPool

        self.pool = WorkerPool(
            n_jobs=self.n_jobs,
            gpus=Gpus.of(self.gpus, self.workers_per_gpu),
            config=config,
            hydra_context=hydra_context,
            task_function=task_function,
        )

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Return one `JobReturn` per job, in order.

        Raises `WorkerDied` if the process of a job died, after the other jobs have ended.
        """
        return self.pool.run(job_overrides, initial_job_idx=initial_job_idx)

    def abort(self) -> None:
        """Kill all workers; every running `launch` raises `WorkerDied`."""
        self.pool.abort()
