"""The schema of `hydra/launcher=processes`."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore

PROCESSES_TARGET = "lightsweep.launcher.launcher.ProcessesLauncher"


@dataclass
class ProcessesConf:
    _target_: str = PROCESSES_TARGET

    # Jobs that run at the same time if a sweeper launches several at once; null is one per core, or per place on a GPU
    n_jobs: int | None = None

    # GPUs that workers share, each worker on one: auto, or a list of numbers as in nvidia-smi, or of UUIDs; with null
    # each worker sees all GPUs
    gpus: Any = None

    # Workers that share one GPU
    workers_per_gpu: int = 1


ConfigStore.instance().store(group="hydra/launcher", name="processes", node=ProcessesConf, provider="lightsweep")
