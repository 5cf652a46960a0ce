"""Checks a search before its first trial: every fault that can be seen from the config is reported at once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, ListConfig, OmegaConf

from lightsweep.checks import INT_FROM_0, POSITIVE, POSITIVE_INT, problems_of
from lightsweep.direction import Direction
from lightsweep.errors import ConfigError
from lightsweep.sweeper.search_space import Request

MAY_BE_NULL = ("timeout", "trial_timeout", "keep_checkpoints")
ONE_PROCESS_STRATEGIES = ("auto", "single_device")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`hydra.sweeper`, with its values checked."""

    sampler: DictConfig
    pruner: DictConfig
    direction: Direction
    storage: str | None
    study_name: str
    n_trials: int
    n_jobs: int
    timeout: float | None
    trial_timeout: float | None
    max_consecutive_failures: int
    max_retries: int
    keep_checkpoints: int | None
    allow_changes: Sequence[str]
    fork: str | None
    preflight: bool
    params: Mapping[str, str]


def check_settings(values: Mapping[str, Any], *, launcher: str) -> Settings:
    """Raise one `ConfigError` with all that is wrong in `hydra.sweeper`; `launcher` is the launcher's target."""
    settings = Settings(**values)
    problems = [
        f"hydra.sweeper.{key} is {getattr(settings, key)}; it must be {rule.must_be}."
        for key, rule in (
            ("n_trials", POSITIVE_INT),
            ("n_jobs", POSITIVE_INT),
            ("timeout", POSITIVE),
            ("trial_timeout", POSITIVE),
            ("keep_checkpoints", POSITIVE_INT),
            ("max_consecutive_failures", POSITIVE_INT),
            ("max_retries", INT_FROM_0),
        )
        if not rule.holds(getattr(settings, key)) and not (key in MAY_BE_NULL and getattr(settings, key) is None)
    ]
    if settings.direction not in ("maximize", "minimize"):
        problems.append(f"hydra.sweeper.direction is '{settings.direction}'; it must be maximize or minimize.")
    if not re.fullmatch(r"\w[\w.-]*", settings.study_name):
        problems.append(
            f"hydra.sweeper.study_name is '{settings.study_name}'; it also names a folder,"
            " so it must be made of letters, digits, '_', '-' and '.', and begin with a letter or digit."
        )
    if settings.n_jobs > 1 and launcher.endswith(".BasicLauncher"):
        problems.append(
            f"hydra.sweeper.n_jobs is {settings.n_jobs}, but Hydra's basic launcher runs jobs one by one inside this"
            " process. Add hydra/launcher=processes, which comes with Lightsweep, or any other Hydra launcher that"
            " runs jobs outside this process (submitit_local, submitit_slurm, ray)."
        )
    if problems:
        raise ConfigError("\n".join(problems))
    return settings


def check_request(request: Request, *, config_loader: ConfigLoader, config: DictConfig) -> None:
    """Compose what the trials will compose, each choice and each end of a range once, and check the values.

    Raises one `ConfigError` with all faults; a key or group option that does not exist is Hydra's own error.
    """
    if not request.space.distributions:
        fixed = f" The command line fixes {', '.join(request.fixed_by_user)}." if request.fixed_by_user else ""
        raise ConfigError(
            f"nothing is left to search.{fixed} Leave a parameter free, give a range such as"
            " 'optimizer.lr=tag(log,interval(1e-4,1e-1))', or train once without hparams_search and -m."
        )
    problems = request.space.problems()
    if not problems:
        for sample in request.space.samples():
            overrides = [*request.fixed, *request.space.to_overrides(sample)]
            trial_config = config_loader.load_sweep_config(config, overrides)
            problems += [*problems_of(trial_config), *_more_than_one_process(trial_config)]
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def _more_than_one_process(cfg: DictConfig) -> Sequence[str]:
    strategy = OmegaConf.select(cfg, "trainer.strategy", default="auto")
    devices = OmegaConf.select(cfg, "trainer.devices", default=1)
    n_nodes = OmegaConf.select(cfg, "trainer.num_nodes", default=1)
    one_device = devices in (1, "1", "auto") or (isinstance(devices, ListConfig) and len(devices) == 1)
    if strategy in ONE_PROCESS_STRATEGIES and one_device and n_nodes == 1:
        return []
    return [
        f"trainer.strategy is '{strategy}' with trainer.devices={devices}: a trial that trains in several processes"
        " would start the whole search again in each of them. Use trainer.strategy=auto trainer.devices=1;"
        " to use more devices run more trials at a time (hydra/launcher=processes hydra.sweeper.n_jobs=2)."
    ]
