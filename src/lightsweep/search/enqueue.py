"""`hydra.sweeper.enqueue`: the points that a new search tries first."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.samplers import GridSampler

from lightsweep.errors import ConfigError, format_errors
from lightsweep.search.fork import best_of, lies_in, open_source
from lightsweep.search.space import SearchSpace
from lightsweep.trial.status import DEFAULTS, ENQUEUED

KEY = "hydra.sweeper.enqueue"
FORMS = (
    f"Give {KEY}=defaults, null, a list of points such as [{{optimizer.lr:0.01}}], a YAML file with such a list, or the"
    " folder of a search"
)


@dataclass(frozen=True)
class Point:
    """The values of all or some parameters; the sampler draws the others.

    `origin` says where they come from. With a `problem` they are not tried.
    """

    params: dict[str, Any]
    origin: str
    problem: str | None = None


def points_to_enqueue(setting: Any, *, space: SearchSpace, job_config: DictConfig, storage: str) -> list[Point]:
    """Return the points that `hydra.sweeper.enqueue` names, the defaults of the config first.

    `job_config` is the config of a job without searched values, `storage` the URL of the search. Raises `ConfigError`
    if the setting has another form, or a point does not lie in the space.
    """
    if OmegaConf.is_config(setting):
        setting = OmegaConf.to_container(setting, resolve=True)
    if setting is None:
        return []
    given = [] if setting == DEFAULTS else _given(setting, space=space, storage=storage)
    problems = [problem for point in given for problem in _problems(point, space)]
    if problems:
        raise ConfigError(format_errors(problems))
    defaults = Point(default_params(space, job_config), DEFAULTS)
    return [replace(defaults, problem=next(iter(_problems(defaults, space)), None)), *given]


def enqueue(study: optuna.Study, points: Sequence[Point]) -> None:
    """Enqueue the points. A grid gets none: it tries every point."""
    if isinstance(study.sampler, GridSampler):
        return
    for point in points:
        if point.problem:
            print(f"The defaults of the config are not tried first: {point.problem}", file=sys.stderr)
        elif point.params:
            study.enqueue_trial(point.params, user_attrs={ENQUEUED: point.origin}, skip_if_exists=True)


def default_params(space: SearchSpace, job_config: DictConfig) -> dict[str, Any]:
    """Return the values that the config has by itself, as the study stores them; those without one are left out."""
    choices = job_config.hydra.runtime.choices
    values: dict[str, Any] = {}
    for name in space.distributions:
        value = choices[name] if name in choices else _select(job_config, name)
        if value is not None:
            values[name] = space.stored_value(name, value)
    return space.only_applicable(values)


def _select(config: DictConfig, name: str) -> Any:
    try:
        value = OmegaConf.select(config, name.lstrip("+"))
    except OmegaConfBaseException:  # an interpolation that has no value yet
        return None
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _given(setting: Any, *, space: SearchSpace, storage: str) -> list[Point]:
    if isinstance(setting, str) and setting and Path(setting).is_dir():
        return _of_search(setting, space=space, storage=storage)
    origin, content = KEY, setting
    if isinstance(setting, str):
        origin, content = setting, _read(setting)
    content = [content] if isinstance(content, Mapping) else content
    if (
        not isinstance(content, Sequence)
        or isinstance(content, str)
        or not all(isinstance(p, Mapping) for p in content)
    ):
        raise ConfigError(f"{KEY} is {setting}, which holds no list of points. {FORMS}.")
    return [
        Point(
            {str(name): space.stored_value(str(name), value) for name, value in point.items()}, f"{origin}, point {i}"
        )
        for i, point in enumerate(content)
    ]


def _read(path: str) -> Any:
    try:
        return OmegaConf.to_container(OmegaConf.load(path))
    except Exception as error:  # noqa: BLE001  (a file may hold anything)
        reason = "does not exist" if isinstance(error, FileNotFoundError) else "is no YAML"
        raise ConfigError(f"{KEY} is {path}, which {reason}. {FORMS}.") from None


def _of_search(folder: str, *, space: SearchSpace, storage: str) -> list[Point]:
    source = open_source(folder, storage=storage, key=KEY)
    fitting = [trial for trial in source.study.get_trials(deepcopy=False) if lies_in(trial, space)]
    best = best_of(fitting, directions=source.study.directions)
    if not best:
        raise ConfigError(f"{KEY} is {folder}, but no complete trial of that search lies in the space of this one.")
    return [Point(trial.params, source.name_of(trial)) for trial in best]


def _problems(point: Point, space: SearchSpace) -> list[str]:
    described = space.described()
    problems = []
    for name, value in point.params.items():
        if name not in described:
            problems.append(f"{point.origin}: {name} is not searched; searched are {', '.join(described)}.")
        elif not space.contains(name, value):
            problems.append(f"{point.origin}: {name} is {value}, which does not lie in {described[name]}.")
    return problems
