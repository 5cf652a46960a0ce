"""The schema of `hydra/sweeper=lightsweep`: hydra-optuna-sweeper's, with a pruner and what else a search needs."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra_plugins.hydra_optuna_sweeper.config import OptunaSweeperConf
from omegaconf import MISSING

import lightsweep.config.validation  # noqa: F401  (registers the resolver that `direction` may stand behind)

DRIVER = "LIGHTSWEEP_DRIVER"  # the environment variable that tells workers who the driver is
SWEEPER_TARGET = "lightsweep.sweeper.sweeper.LightsweepSweeper"


@dataclass
class LightsweepConf(OptunaSweeperConf):
    _target_: str = SWEEPER_TARGET

    # Sampler and pruner are chosen by the defaults list of conf/hydra/sweeper/lightsweep.yaml
    defaults: list[Any] = field(default_factory=list)

    # Draws the hyperparameters: an optuna.samplers class, from conf/hydra/sweeper/sampler
    sampler: Any = MISSING

    # Decides after each epoch whether a trial goes on: an optuna.pruners class, from conf/hydra/sweeper/pruner
    pruner: Any = MISSING

    # maximize or minimize the monitored metric
    direction: str | None = MISSING

    # Where the study is kept: null is study.journal in the folder of the search; else the path of a journal file,
    # or any URL that Optuna takes, such as sqlite:///study.db
    storage: str | None = None

    # Also the name of the folder below outputs/
    study_name: str = MISSING

    # Trials in all; those that the study holds already are counted
    n_trials: int = 20

    # Trials at the same time; more than 1 needs a launcher that runs jobs outside this process
    n_jobs: int = 1

    # Seconds for the whole search: then no new trial starts, and the running ones stop and wait to be resumed
    timeout: float | None = None

    # Seconds for one trial: a longer one is a failure, and its worker is free again
    trial_timeout: float | None = None

    # So many failures in a row end the search
    max_consecutive_failures: int = 5

    # A trial whose process died under it is run again so many times
    max_retries: int = 1

    # Of so many of the best trials the checkpoints are kept; null keeps all
    keep_checkpoints: int | None = 5

    # Config keys that may differ from those of the search that is resumed
    allow_changes: list[str] = field(default_factory=list)

    # Folder of an earlier search whose trials are the start of this one
    fork: str | None = None

    # Check the search, print its space, estimate its time and disk, and run no trial
    preflight: bool = False

    # The search space: config path or group to a sweep of Hydra's override grammar
    params: dict[str, str] = field(default_factory=dict)

    # Where a parameter of the space applies, if not everywhere: config path to other=value, or other=value,value
    when: dict[str, str] = field(default_factory=dict)


ConfigStore.instance().store(
    group="hydra/sweeper", name="lightsweep_schema", node=LightsweepConf, provider="lightsweep"
)
