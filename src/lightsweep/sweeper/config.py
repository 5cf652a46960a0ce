"""The schema of `hydra/sweeper=lightsweep`. It extends hydra-optuna-sweeper's by a pruner, limits and resuming."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra_plugins.hydra_optuna_sweeper.config import OptunaSweeperConf
from omegaconf import MISSING

import lightsweep.config.validation  # noqa: F401  (registers the resolver that `direction` uses)

DRIVER = "LIGHTSWEEP_DRIVER"  # environment variable by which workers identify the driver
SWEEPER_TARGET = "lightsweep.sweeper.sweeper.LightsweepSweeper"


@dataclass
class LightsweepConf(OptunaSweeperConf):
    _target_: str = SWEEPER_TARGET

    # Sampler and pruner are chosen by the defaults list of conf/hydra/sweeper/lightsweep.yaml
    defaults: list[Any] = field(default_factory=list)

    # Draws the hyperparameters: a class of optuna.samplers, see conf/hydra/sweeper/sampler
    sampler: Any = MISSING

    # Decides after each epoch whether a trial is pruned: a class of optuna.pruners, see conf/hydra/sweeper/pruner
    pruner: Any = MISSING

    # Direction of the monitored metric: maximize or minimize; a list of them for several metrics
    direction: Any = MISSING

    # Storage of the study: null for study.journal in the folder of the search, the path of a journal file, or a
    # storage URL of Optuna, such as sqlite:///study.db
    storage: str | None = None

    # Name of the study and of its folder in outputs/
    study_name: str = MISSING

    # Share of the trials that would be pruned which run to the end, marked, so that the report can judge the pruner
    audit: float = 0.0

    # Total number of trials, including those that the study has already
    n_trials: int = 20

    # Trials that run at the same time; more than 1 needs a launcher that runs jobs in other processes. null is one per
    # core, or as many as the GPUs of hydra.launcher hold
    n_jobs: int | None = 1  # type: ignore[assignment]  # the plugin that it extends has no null

    # Trials that one job of submitit_slurm or submitit_local runs, one after the other, to spare the scheduler
    trials_per_job: int = 1

    # Time limit of the search in seconds; then no trial starts, and running trials stop and can be resumed
    timeout: float | None = None

    # Time limit of one trial in seconds; a longer trial fails and frees its worker
    trial_timeout: float | None = None

    # Number of consecutive failed trials that end the search
    max_consecutive_failures: int = 5

    # How often a trial is run again after its process died
    max_retries: int = 1

    # Seconds between two heartbeats of this process in the study; after four without one, others take over its trials
    heartbeat_interval: float = 30.0

    # Number of best trials whose checkpoints are kept; null keeps all checkpoints
    keep_checkpoints: int | None = 5

    # Config keys that may have other values than when the resumed search was started
    allow_changes: list[str] = field(default_factory=list)

    # Points that a new search tries first: defaults (the values of the config itself), null for none, or further ones:
    # a list of mappings from parameter to value, a YAML file with such a list, or the folder of a search
    enqueue: Any = "defaults"

    # Folder of an earlier search whose trials are copied into this one
    fork: str | None = None

    # Dry run: check the search, print its space, and estimate its time and disk space; no trial runs
    preflight: bool = False

    # Search space: maps a config path or config group to a sweep in Hydra's override grammar
    params: dict[str, str] = field(default_factory=dict)

    # Conditions: maps a parameter to other=value or other=value,value; it is searched only where that holds
    when: dict[str, str] = field(default_factory=dict)


ConfigStore.instance().store(
    group="hydra/sweeper", name="lightsweep_schema", node=LightsweepConf, provider="lightsweep"
)
