"""Checks a search before its first trial: every fault that can be seen from the config is reported at once."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from lightsweep.config.fingerprint import Fingerprint
from lightsweep.config.validation import INT_FROM_0, POSITIVE, POSITIVE_INT
from lightsweep.direction import Direction
from lightsweep.errors import USER_ERRORS, ConfigError, format_errors
from lightsweep.preflight.composition import composition_faults
from lightsweep.preflight.storage_checks import place_faults, study_faults
from lightsweep.search.space import Request, SearchSpace
from lightsweep.search.study import build_sampler, grid_size
from lightsweep.sweeper.config import LightsweepConf
from lightsweep.trial.pruner import build_pruner

DIRECTIONS = ("maximize", "minimize")
MAY_BE_NULL = ("timeout", "trial_timeout", "keep_checkpoints")


def check_search(
    settings: LightsweepConf,
    request: Request,
    *,
    config_loader: ConfigLoader,
    config: DictConfig,
    url: str,
    fingerprint: Callable[[], Fingerprint],
) -> tuple[BaseSampler, BasePruner]:
    """Raise one `ConfigError` with all that is wrong with a search; else give its sampler and its pruner.

    Takes a few tenths of a second, and neither imports torch nor writes anything. `url` is where the study is, or
    will be, kept; `fingerprint` takes that of the search, which costs as much again.
    """
    launcher = OmegaConf.select(config, "hydra.launcher._target_")
    if launcher is None:  # Hydra can't compose a job then
        raise ConfigError("hydra.launcher has no _target_. Choose one with hydra/launcher=...")
    sampler, pruner, faults = _built(settings, request.space)
    faults = [
        *settings_faults(settings, launcher=launcher, told_with_monitor="direction" in config),
        *request_faults(request, config_loader=config_loader, config=config),
        *faults,
        *place_faults(Path(config.hydra.sweep.dir).absolute(), url),
    ]
    judged_later = not faults and not settings.preflight  # when the study is opened, in a moment
    if settings.direction in DIRECTIONS and not judged_later:
        faults += study_faults(
            url,
            name=settings.study_name,
            direction=cast(Direction, settings.direction),
            fingerprint=fingerprint,
            allow_changes=settings.allow_changes,
        )
    if faults:
        raise ConfigError(format_errors(faults))
    assert sampler is not None
    assert pruner is not None
    for remark in remarks(settings, config=config, n_points=grid_size(sampler, request.space)):
        print(remark, file=sys.stderr)
    return sampler, pruner


def settings_faults(settings: LightsweepConf, *, launcher: str, told_with_monitor: bool = False) -> list[str]:
    """What is wrong in `hydra.sweeper` and with the launcher, of which `launcher` is the target.

    `told_with_monitor`: a direction that is not known is among the faults of the config that has the monitor.
    """
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
    problems += inherited_settings_faults(settings)
    if settings.direction not in DIRECTIONS and not (settings.direction is None and told_with_monitor):
        problems.append(f"hydra.sweeper.direction is '{settings.direction}'; it must be maximize or minimize.")
    if not re.fullmatch(r"\w[\w.-]*", settings.study_name):
        problems.append(
            f"hydra.sweeper.study_name is '{settings.study_name}'; it also names a folder,"
            " so it must be made of letters, digits, '_', '-' and '.', and begin with a letter or digit."
        )
    if launcher not in (f"{known.__module__}.{known.__qualname__}" for known in Plugins.instance().discover(Launcher)):
        problems.append(
            f"hydra.launcher._target_ is '{launcher}', which is no launcher that Hydra has found. Choose one with"
            " hydra/launcher=... and leave its _target_ alone; one of your own must be an installed Hydra plugin."
        )
    if settings.n_jobs > 1 and launcher.endswith(".BasicLauncher"):
        problems.append(
            f"hydra.sweeper.n_jobs is {settings.n_jobs}, but Hydra's basic launcher runs jobs one by one inside this"
            " process. Add hydra/launcher=processes, which comes with Lightsweep, or any other Hydra launcher that"
            " runs jobs outside this process (submitit_local, submitit_slurm, ray)."
        )
    return problems


def inherited_settings_faults(settings: LightsweepConf) -> list[str]:
    """What is set of hydra-optuna-sweeper's own settings that have no effect here."""
    problems = []
    if settings.max_failure_rate != 0:
        problems.append(
            f"hydra.sweeper.max_failure_rate is {settings.max_failure_rate:g}, which this sweeper does not know."
            " Leave it at 0; how many failures in a row end the search is hydra.sweeper.max_consecutive_failures."
        )
    if settings.custom_search_space is not None:
        problems.append(
            f"hydra.sweeper.custom_search_space is '{settings.custom_search_space}', which this sweeper does not know."
            " Leave it at null; where a parameter applies is said with hydra.sweeper.when."
        )
    return problems


def request_faults(request: Request, *, config_loader: ConfigLoader, config: DictConfig) -> list[str]:
    """What is wrong with the space, and with what the trials will compose from it."""
    if not request.space.distributions:
        fixed = f" The command line fixes {', '.join(request.fixed_by_user)}." if request.fixed_by_user else ""
        return [
            f"nothing is left to search.{fixed} Leave a parameter free, give a range such as"
            " 'optimizer.lr=tag(log,interval(1e-4,1e-1))', or train once without hparams_search and -m."
        ]
    of_space = request.space.problems()
    of_configs = composition_faults(request, config_loader=config_loader, config=config)
    told = {fault.removeprefix("the search space: ").lstrip("+") for fault in of_space}
    return [*of_space, *(fault for fault in of_configs if fault not in told)]


def remarks(settings: LightsweepConf, *, config: DictConfig, n_points: int | None) -> Iterator[str]:
    """What is no fault, but probably not meant; `n_points` is the size of a grid."""
    if n_points is not None and n_points < settings.n_trials:
        yield (
            f"note: the grid has {n_points} points, so the search ends after {n_points} of"
            f" hydra.sweeper.n_trials={settings.n_trials} trials."
        )
    max_epochs = OmegaConf.select(config, "trainer.max_epochs")
    key, warm_up = _warm_up(settings.pruner)
    if isinstance(max_epochs, int) and warm_up is not None and warm_up >= max_epochs - 1:
        lower = f"Lower {key.rsplit('.', 1)[-1]}, train" if warm_up else "Train"
        yield (
            f"warning: no trial can be pruned: {key} is {warm_up}, and of trainer.max_epochs={max_epochs} the pruner"
            f" is asked after all but the last. {lower} longer, or say hydra/sweeper/pruner=none."
        )


def _warm_up(pruner: DictConfig) -> tuple[str, int | None]:
    """How many epochs a trial is safe from the pruner, and the key that says so."""
    for key in ("n_warmup_steps", "min_resource", "wrapped_pruner.n_warmup_steps", "wrapped_pruner.min_resource"):
        value = OmegaConf.select(pruner, key)
        if isinstance(value, int):
            return f"hydra.sweeper.pruner.{key}", value
    return "", None


def _built(settings: LightsweepConf, space: SearchSpace) -> tuple[BaseSampler | None, BasePruner | None, list[str]]:
    sampler, pruner, faults = None, None, []
    try:
        sampler = build_sampler(settings.sampler, space=space) if space.distributions else None
    except USER_ERRORS as error:
        faults.append(str(error))
    try:
        pruner = build_pruner(settings.pruner)
    except USER_ERRORS as error:
        faults.append(str(error))
    return sampler, pruner, faults
