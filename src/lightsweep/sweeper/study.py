"""Opens the study of a search, and refuses one that was made for something else."""

import functools
import json
import warnings
from typing import Any

import hydra.utils
import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, GridSampler, QMCSampler
from optuna.storages import BaseStorage

from lightsweep.build import build
from lightsweep.direction import Direction
from lightsweep.errors import ConfigError
from lightsweep.sweeper.search_space import SearchSpace
from lightsweep.trust import TRUSTED_TARGETS

SPACE = "lightsweep:space"
WAYS_OUT = "Choose another name (hydra.sweeper.study_name=...) or another storage (hydra.sweeper.storage=...)."


def build_sampler(node: DictConfig, *, space: SearchSpace, n_trials_there: int = 0) -> BaseSampler:
    """Build `hydra.sweeper.sampler`; a grid is given the values of the space.

    In a study that has trials already the seed is moved on, or the sampler would draw its first points again;
    the grid and the quasi-random sequence find their own place by what the study holds.
    Raises `ConfigError` if the node is not a sampler's, or the space does not suit a grid.
    """
    sampler = _built(node)
    if isinstance(sampler, functools.partial):  # the grid sampler, which waits for its grid
        sampler = sampler(space.grid())
    elif isinstance(sampler, BaseSampler) and not isinstance(sampler, QMCSampler) and n_trials_there:
        seed = OmegaConf.select(node, "seed")
        sampler = _built(node, seed=None if seed is None else seed + n_trials_there)
    if not isinstance(sampler, BaseSampler):
        raise ConfigError(f"hydra.sweeper.sampler is a {type(sampler).__name__}, not a sampler of optuna.samplers.")
    return sampler


def build_pruner(node: DictConfig) -> BasePruner:
    """Build `hydra.sweeper.pruner`. Raises `ConfigError` if the node is not a pruner's."""
    pruner = _built(node)
    if not isinstance(pruner, BasePruner):
        raise ConfigError(f"hydra.sweeper.pruner is a {type(pruner).__name__}, not a pruner of optuna.pruners.")
    return pruner


def grid_size(sampler: BaseSampler) -> int | None:
    """The number of points of a grid, None for any other sampler."""
    return len(sampler._all_grids) if isinstance(sampler, GridSampler) else None


def _built(node: DictConfig, **kwargs: Any) -> Any:
    with hydra.utils.execution_whitelist(TRUSTED_TARGETS), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # the user chose it, and the group says so
        return build(node, **kwargs)


def open_study(
    *,
    name: str,
    storage: BaseStorage,
    direction: Direction,
    space: SearchSpace,
    sampler: BaseSampler,
    pruner: BasePruner,
) -> optuna.Study:
    """Create the study, or open the one of this name.

    Raises `ConfigError` if it exists with another direction or another space: its trials would be mixed with
    ones that don't compare.
    """
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction=direction,
        sampler=sampler,
        pruner=pruner,
        load_if_exists=True,
    )
    there = study.direction.name.lower()
    if there != direction:
        raise ConfigError(
            f"hydra.sweeper.direction is {direction}, but the study '{name}' was made to {there}. {WAYS_OUT}"
        )
    known = study.user_attrs.get(SPACE)
    if known is None and study.get_trials(deepcopy=False):
        raise ConfigError(f"the study '{name}' exists and was not made by Lightsweep. {WAYS_OUT}")
    if known is None:
        study.set_user_attr(SPACE, space.to_json())
    elif differences := _differences(known, space.to_json()):
        raise ConfigError(
            f"the study '{name}' was made for another search space. {WAYS_OUT}\n" + "\n".join(differences)
        )
    return study


def _differences(there: dict[str, str], here: dict[str, str]) -> list[str]:
    return [
        f"  {name}: there {_readable(there.get(name))}, here {_readable(here.get(name))}"
        for name in sorted({*there, *here})
        if there.get(name) != here.get(name)
    ]


def _readable(distribution: str | None) -> str:
    if distribution is None:
        return "not searched"
    attributes = json.loads(distribution)["attributes"]
    if "choices" in attributes:
        return f"choice({', '.join(map(str, attributes['choices']))})"
    step = f" in steps of {attributes['step']}" if attributes.get("step") else ""
    return f"{attributes['low']} to {attributes['high']}{step}{' (log)' if attributes['log'] else ''}"
