"""The schema of `hydra/sweeper=lightsweep`: hydra-optuna-sweeper's, with a pruner and what else a search needs."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

DRIVER = "LIGHTSWEEP_DRIVER"  # the environment variable that tells workers who the driver is
SWEEPER_TARGET = "lightsweep.sweeper.sweeper.LightsweepSweeper"


@dataclass
class LightsweepConf:
    _target_: str = SWEEPER_TARGET

    # Draws the hyperparameters: an optuna.samplers class, from conf/hydra/sweeper/sampler
    sampler: Any = MISSING

    # Decides after each epoch whether a trial goes on: an optuna.pruners class, from conf/hydra/sweeper/pruner
    pruner: Any = MISSING

    # maximize or minimize the monitored metric
    direction: str = MISSING

    # Where the study is kept: null is study.journal in the folder of the search; else the path of a journal file,
    # or any URL that Optuna takes, such as sqlite:///study.db
    storage: str | None = None

    # Also the name of the folder below outputs/
    study_name: str = MISSING

    # Trials in all; those that the study holds already are counted
    n_trials: int = 20

    # Trials at the same time; more than 1 needs a launcher that runs jobs outside this process
    n_jobs: int = 1

    # Seconds after which no new trial starts
    timeout: float | None = None

    # So many failures in a row end the search
    max_consecutive_failures: int = 5

    # A trial whose process died under it is run again so many times
    max_retries: int = 1

    # The search space: config path or group to a sweep of Hydra's override grammar
    params: dict[str, str] = field(default_factory=dict)


ConfigStore.instance().store(
    group="hydra/sweeper", name="lightsweep_schema", node=LightsweepConf, provider="lightsweep"
)
