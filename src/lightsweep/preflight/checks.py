"""Check the settings of a search before its first trial. All problems are reported in one error."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, CmaEsSampler

from lightsweep.config.extras import missing_launcher
from lightsweep.config.fingerprint import Fingerprint
from lightsweep.config.resampling import n_folds_to_train
from lightsweep.config.validation import INT_FROM_0, POSITIVE, POSITIVE_INT, SHARE
from lightsweep.direction import DIRECTIONS, listed
from lightsweep.errors import USER_ERRORS, ConfigError, format_errors
from lightsweep.launcher.config import PROCESSES_TARGET
from lightsweep.launcher.gpus import Gpus
from lightsweep.launcher.slurm import why_unusable
from lightsweep.launcher.submitit import CLUSTERS
from lightsweep.preflight.config_checks import config_problems
from lightsweep.preflight.storage_checks import location_problems, study_problems
from lightsweep.search.request import Request
from lightsweep.search.space import SearchSpace
from lightsweep.search.study import build_sampler, grid_size
from lightsweep.sweeper.config import LightsweepConf
from lightsweep.trial.pruner import build_pruner

RULES = {
    "n_trials": POSITIVE_INT,
    "audit": SHARE,
    "n_jobs": POSITIVE_INT,
    "trials_per_job": POSITIVE_INT,
    "timeout": POSITIVE,
    "trial_timeout": POSITIVE,
    "heartbeat_interval": POSITIVE,
    "keep_checkpoints": POSITIVE_INT,
    "max_consecutive_failures": POSITIVE_INT,
    "max_retries": INT_FROM_0,
}
MAY_BE_NULL = ("n_jobs", "timeout", "trial_timeout", "keep_checkpoints")
WARM_UP_KEYS = ("n_warmup_steps", "min_resource", "wrapped_pruner.n_warmup_steps", "wrapped_pruner.min_resource")


def check_search(
    settings: LightsweepConf,
    request: Request,
    *,
    config_loader: ConfigLoader,
    config: DictConfig,
    url: str,
    fingerprint: Callable[[], Fingerprint],
) -> tuple[BaseSampler, BasePruner]:
    """Return the sampler and the pruner of a search, or raise one `ConfigError` with all problems.

    Takes a few tenths of a second, does not import torch and writes nothing. `url` is the storage URL;
    `fingerprint` is called only where the study is compared, because it is as slow as all other checks.
    """
    if OmegaConf.select(config, "hydra.launcher._target_") is None:  # Hydra can't compose a job then
        raise ConfigError("hydra.launcher has no _target_. Choose one with hydra/launcher=...")
    directions = listed(settings.direction)
    sampler, pruner, build_problems = _build(settings, request.space)
    problems = [
        *_settings_problems(settings, direction_is_checked_with_monitor="direction" in config),
        *_several_objectives_problems(len(directions), sampler=sampler, pruner=pruner),
        *_launcher_problems(settings, config.hydra.launcher, choice=config.hydra.runtime.choices.get("hydra/launcher")),
        *_submitit_problems(settings, config.hydra.launcher),
        *_request_problems(request, config_loader=config_loader, config=config),
        *build_problems,
        *location_problems(Path(config.hydra.sweep.dir).absolute(), url),
    ]
    is_checked_when_opened = not problems and not settings.preflight  # opening the study repeats its checks
    if all(direction in DIRECTIONS for direction in directions) and not is_checked_when_opened:
        problems += study_problems(
            url,
            name=settings.study_name,
            directions=directions,
            fingerprint=fingerprint,
            allow_changes=settings.allow_changes,
        )
    if problems:
        raise ConfigError(format_errors(problems))
    assert sampler is not None
    assert pruner is not None
    for warning in _warnings(settings, config=config, n_grid_points=grid_size(sampler, request.space)):
        print(warning, file=sys.stderr)
    return sampler, pruner


def _build(settings: LightsweepConf, space: SearchSpace) -> tuple[BaseSampler | None, BasePruner | None, list[str]]:
    sampler, pruner, problems = None, None, []
    try:
        sampler = build_sampler(settings.sampler, space=space) if space.distributions else None
    except USER_ERRORS as error:
        problems.append(str(error))
    try:
        pruner = build_pruner(settings.pruner)
    except USER_ERRORS as error:
        problems.append(str(error))
    return sampler, pruner, problems


def _settings_problems(settings: LightsweepConf, *, direction_is_checked_with_monitor: bool) -> Iterator[str]:
    for key, rule in RULES.items():
        value = getattr(settings, key)
        if not rule.holds(value) and not (key in MAY_BE_NULL and value is None):
            yield f"hydra.sweeper.{key} is {value}; it must be {rule.must_be}."
    if settings.max_failure_rate != 0:
        yield (
            f"hydra.sweeper.max_failure_rate is {settings.max_failure_rate:g}, which this sweeper does not support."
            " Leave it at 0, and set hydra.sweeper.max_consecutive_failures to end a search after failures."
        )
    if settings.custom_search_space is not None:
        yield (
            f"hydra.sweeper.custom_search_space is '{settings.custom_search_space}', which this sweeper does not"
            " support. Leave it at null, and set conditions with hydra.sweeper.when."
        )
    directions = listed(settings.direction)
    is_checked = None in directions and direction_is_checked_with_monitor
    if not all(direction in DIRECTIONS for direction in directions) and not is_checked:
        yield (
            f"hydra.sweeper.direction is '{settings.direction}'; it must be maximize or minimize."
            " Several objectives take a list of these."
        )
    if not re.fullmatch(r"\w[\w.-]*", settings.study_name):
        yield (
            f"hydra.sweeper.study_name is '{settings.study_name}'; it also names a folder,"
            " so it must consist of letters, digits, '_', '-' and '.', and must not begin with '-' or '.'."
        )


def _several_objectives_problems(n: int, *, sampler: BaseSampler | None, pruner: BasePruner | None) -> Iterator[str]:
    if n == 1:
        return
    if pruner is not None and not isinstance(pruner, NopPruner):
        yield (
            f"hydra.sweeper.pruner is {type(pruner).__name__}, but the search has {n} objectives, and Optuna can't"
            " prune such trials: one that is behind in one objective may be ahead in another. Add"
            " hydra/sweeper/pruner=none."
        )
    if isinstance(sampler, CmaEsSampler):
        yield (
            f"hydra.sweeper.sampler is CmaEsSampler, which optimizes one objective, but the search has {n}. Choose"
            " hydra/sweeper/sampler=tpe, nsgaii, gp, random, qmc or grid."
        )


def n_jobs_of(settings: LightsweepConf, launcher: DictConfig) -> int:
    """Return how many trials run at a time. Raise `ConfigError` if the settings of the GPUs do not allow it."""
    gpus = Gpus()
    if launcher._target_ == PROCESSES_TARGET:
        gpus = Gpus.of(launcher.get("gpus"), launcher.get("workers_per_gpu", 1))
    return gpus.n_workers(settings.n_jobs)


def _launcher_problems(settings: LightsweepConf, node: DictConfig, *, choice: str | None) -> Iterator[str]:
    """Check the launcher, which hydra/launcher=<choice> has set."""
    launcher: str = node._target_
    plugins = Plugins.instance().discover(Launcher)
    if missing := missing_launcher(str(choice)):
        yield missing
    elif launcher not in (f"{plugin.__module__}.{plugin.__qualname__}" for plugin in plugins):
        yield (
            f"hydra.launcher._target_ is '{launcher}', which is not a launcher plugin of Hydra. Choose one with"
            " hydra/launcher=... and leave its _target_ unchanged; your own launcher must be an installed Hydra plugin."
        )
    try:
        n_jobs = n_jobs_of(settings, node)
    except ConfigError as error:
        yield str(error)
        return
    if n_jobs > 1 and launcher.endswith(".BasicLauncher"):
        yield (
            f"hydra.sweeper.n_jobs is {n_jobs}, but Hydra's basic launcher runs jobs one by one inside this process."
            f" Set workers={n_jobs}, which adds hydra/launcher=processes, or choose any other Hydra launcher that"
            " runs jobs outside this process (submitit_local, submitit_slurm, ray)."
        )


def _submitit_problems(settings: LightsweepConf, launcher: DictConfig) -> Iterator[str]:
    name = launcher._target_.rpartition(".")[2]
    if name not in CLUSTERS:
        if settings.trials_per_job > 1:
            yield (
                f"hydra.sweeper.trials_per_job is {settings.trials_per_job}, which only hydra/launcher=submitit_slurm"
                " and submitit_local know. Leave it out."
            )
        return
    for key in ("nodes", "tasks_per_node"):
        if launcher.get(key, 1) not in (1, None):
            yield f"hydra.launcher.{key} is {launcher[key]}; it must be 1, because a trial trains in one process."
    if CLUSTERS[name] == "slurm" and (reason := why_unusable()):
        yield (
            f"hydra/launcher=submitit_slurm can't submit jobs: {reason}. Start the search where sinfo works, or choose"
            " hydra/launcher=processes."
        )


def _request_problems(request: Request, *, config_loader: ConfigLoader, config: DictConfig) -> list[str]:
    """Check the space and the configs that trials will get."""
    if not request.space.distributions:
        fixed = f" The command line fixes {', '.join(request.fixed_by_user)}." if request.fixed_by_user else ""
        return [
            f"nothing is left to search.{fixed} Leave a parameter free, give a range such as"
            " 'optimizer.lr=tag(log,interval(1e-4,1e-1))', or train once without hparams_search and -m."
        ]
    return config_problems(request, config_loader=config_loader, config=config)


def _warnings(settings: LightsweepConf, *, config: DictConfig, n_grid_points: int | None) -> Iterator[str]:
    """Warn of settings that are valid, but probably not intended."""
    if n_grid_points is not None and n_grid_points < settings.n_trials:
        yield (
            f"note: the grid has {n_grid_points} points, so the search ends after {n_grid_points} of"
            f" hydra.sweeper.n_trials={settings.n_trials} trials."
        )
    n_folds = n_folds_to_train(config)
    last, max_epochs = "trainer.max_epochs", OmegaConf.select(config, "trainer.max_epochs")
    if n_folds > 1:  # a fold is a step
        last, max_epochs = "data.n_folds", n_folds
    values = {key: OmegaConf.select(settings.pruner, key) for key in WARM_UP_KEYS}
    key, n_epochs = next(((k, value) for k, value in values.items() if isinstance(value, int)), ("", None))
    if isinstance(max_epochs, int) and n_epochs is not None and n_epochs >= max_epochs - 1:
        lower = f"Lower {key.rsplit('.', 1)[-1]}, train" if n_epochs else "Train"
        longer = "on more folds" if n_folds > 1 else "longer"
        yield (
            f"warning: no trial can be pruned: hydra.sweeper.pruner.{key} is {n_epochs}, and the last of"
            f" {last}={max_epochs} {'folds' if n_folds > 1 else 'epochs'} is never pruned. {lower} {longer}, or set"
            " hydra/sweeper/pruner=none."
        )
    threshold = OmegaConf.select(settings.pruner, "p_threshold")
    if threshold is not None and 0.5 ** (n_folds - 1) >= threshold:  # the p-value of folds that are all worse
        yield (
            f"warning: no trial can be pruned: data.n_folds is {n_folds}, too few for a p-value below"
            f" hydra.sweeper.pruner.p_threshold={threshold}, and the last fold is never judged. Use more folds, or"
            " another pruner."
        )
