"""Opens the study of a search, and refuses one that was made for something else."""

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, GridSampler, QMCSampler
from optuna.storages import BaseStorage

from lightsweep.config.fingerprint import SEARCHED, Fingerprint, differences, is_within, side_by_side
from lightsweep.direction import Direction
from lightsweep.errors import ConfigError
from lightsweep.search.space import SearchSpace
from lightsweep.trial.pruner import build_from_optuna

FINGERPRINT = "lightsweep:fingerprint"
CHOICES = f"{SEARCHED}choice("
SAMPLER = "hydra.sweeper.sampler"
WAYS_OUT = "Choose another name (hydra.sweeper.study_name=...) or another storage (hydra.sweeper.storage=...)."


def build_sampler(node: DictConfig, *, space: SearchSpace, n_trials_there: int = 0) -> BaseSampler:
    """Build `hydra.sweeper.sampler`; a grid is given the values of the space.

    In a study that has trials already the seed is moved on, or the sampler would draw its first points again;
    the grid and the quasi-random sequence find their own place by what the study holds.
    Raises `ConfigError` if the node is not a sampler's, or the space does not suit a grid.
    """
    sampler = build_from_optuna(node, SAMPLER)
    if isinstance(sampler, functools.partial):  # the grid sampler, which waits for its grid
        sampler = sampler(space.grid())
    elif isinstance(sampler, BaseSampler) and not isinstance(sampler, QMCSampler) and n_trials_there:
        seed = OmegaConf.select(node, "seed")
        sampler = build_from_optuna(node, SAMPLER, seed=None if seed is None else seed + n_trials_there)
    if not isinstance(sampler, BaseSampler):
        raise ConfigError(f"{SAMPLER} is a {type(sampler).__name__}, not a sampler of optuna.samplers.")
    return sampler


def grid_size(sampler: BaseSampler, space: SearchSpace) -> int | None:
    """Return the number of points of the space if the sampler is a grid, None for any other sampler."""
    return space.n_points() if isinstance(sampler, GridSampler) else None


def open_study(
    *, name: str, storage: BaseStorage, direction: Direction, sampler: BaseSampler, pruner: BasePruner
) -> optuna.Study:
    """Create the study, or open the one of this name.

    Raises `ConfigError` if it exists with another direction, or was not made by a search of this project.
    """
    parts: dict[str, Any] = {"study_name": name, "storage": storage, "sampler": sampler, "pruner": pruner}
    try:
        study = optuna.load_study(**parts)  # `create_study` would write, even if the study is then refused
    except KeyError:
        study = optuna.create_study(direction=direction, load_if_exists=True, **parts)
    check_kind(study, direction=direction)
    return study


def check_kind(study: optuna.Study, *, direction: Direction) -> None:
    """Raise `ConfigError` if the study has another direction, or was not made by a search of this project."""
    name, there = study.study_name, study.direction.name.lower()
    if there != direction:
        raise ConfigError(
            f"hydra.sweeper.direction is {direction}, but the study '{name}' was made to {there}. {WAYS_OUT}"
        )
    if fingerprint_of(study) is None and study.get_trials(deepcopy=False):
        raise ConfigError(f"the study '{name}' exists and was not made by Lightsweep. {WAYS_OUT}")


def fingerprint_of(study: optuna.Study) -> Fingerprint | None:
    """What the search of this study measures, None if no search has said so."""
    return Fingerprint.from_record(study.user_attrs.get(FINGERPRINT))


def record_fingerprint(study: optuna.Study, now: Fingerprint, *, allow_changes: Sequence[str]) -> bool:
    """Write into the study what the search measures; gives whether that is something else than before.

    A change of versions or of the code is only warned of. Raises what `check_changes` raises.
    """
    changed = check_changes(study, now, allow_changes=allow_changes)
    then = fingerprint_of(study)
    if then is not None:
        _warn_of(changed | differences(then.informational, now.informational))
    if now != then:
        study.set_user_attr(FINGERPRINT, now.to_record())
    return bool(changed)


def check_changes(study: optuna.Study, now: Fingerprint, *, allow_changes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """What is strict now and was not before, by key.

    Raises `ConfigError` if `allow_changes` does not name it: new trials would not compare with the old ones.
    """
    then = fingerprint_of(study)
    if then is None:
        return {}
    changed = differences(then.strict, now.strict)
    refused = {key: pair for key, pair in changed.items() if not is_within(key, allow_changes)}
    if refused:
        raise ConfigError(_refusal(study.study_name, refused))
    if fixed := [key for key, pair in changed.items() if all(value.startswith(CHOICES) for value in pair)]:
        raise ConfigError(
            f"allow_changes: within a study the choices of {', '.join(fixed)} can't change. Begin a new search that"
            " takes over the trials that fit: fork=<the folder of this one>."
        )
    return changed


def _refusal(name: str, changed: Mapping[str, tuple[str, str]]) -> str:
    return (
        f"the study '{name}' was made with other settings, so its trials don't compare with new ones:\n"
        f"{side_by_side(changed)}\n"
        "Ways out: set them back; begin a new search in a folder of its own (without resume and hydra.sweep.dir), which"
        f" may take over the trials that fit (fork=<folder>). {WAYS_OUT} If you know that they compare all the same:"
        f" 'allow_changes=[{','.join(changed)}]'"
    )


def _warn_of(changed: Mapping[str, tuple[str, str]]) -> None:
    if changed:
        print(f"warning: changed since this search began:\n{side_by_side(changed)}", file=sys.stderr)
