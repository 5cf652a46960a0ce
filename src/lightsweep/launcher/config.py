"""The schema of `hydra/launcher=processes`."""

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore


@dataclass
class ProcessesConf:
    _target_: str = "lightsweep.launcher.launcher.ProcessesLauncher"

    # Jobs that run at the same time if a sweeper launches several at once; null is one per core
    n_jobs: int | None = None


ConfigStore.instance().store(group="hydra/launcher", name="processes", node=ProcessesConf, provider="lightsweep")
