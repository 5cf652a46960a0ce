"""Build the sampler and open the study. A study that does not match the search is rejected."""

import functools
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, GridSampler, QMCSampler
from optuna.storages import BaseStorage

from lightsweep.config.fingerprint import SEARCHED, Fingerprint, differences, is_within, side_by_side
from lightsweep.direction import Direction, listed
from lightsweep.errors import ConfigError
from lightsweep.pareto import SHIP
from lightsweep.search.space import SearchSpace
from lightsweep.trial.pruner import build_from_optuna

FINGERPRINT = "lightsweep:fingerprint"
N_TRIALS = "lightsweep:n_trials"
CHOICES = f"{SEARCHED}choice("
SAMPLER = "hydra.sweeper.sampler"
READS_CODES = "data.encoding"  # the versions with this key read 01234 in a table as a code
NOTE_ON_CODES = (
    "warning: this search began with an earlier version, which read 01234 as a number. Now a column of a text file"
    " with leading zeros is a category, and trials would not compare. If the table has one, let it be a number:"
    " 'data.kinds={<column>:number}' 'allow_changes=[data.kinds]'"
)
WAYS_OUT = "Choose another name (hydra.sweeper.study_name=...) or another storage (hydra.sweeper.storage=...)."


def build_sampler(node: DictConfig, *, space: SearchSpace, seed_offset: int = 0) -> BaseSampler:
    """Build `hydra.sweeper.sampler`. The grid sampler gets the values of the space.

    `seed_offset` is added to the seed: in a study with trials the sampler would otherwise draw its first points again.
    The grid and quasi-Monte Carlo samplers continue from the trials of the study by themselves.
    Raises `ConfigError` if the node is not a sampler, or the space can't be a grid.
    """
    sampler = build_from_optuna(node, SAMPLER)
    if isinstance(sampler, functools.partial):  # the grid sampler, which is `_partial_`
        sampler = sampler(space.grid())
    elif isinstance(sampler, BaseSampler) and not isinstance(sampler, QMCSampler) and seed_offset:
        seed = OmegaConf.select(node, "seed")
        sampler = build_from_optuna(node, SAMPLER, seed=None if seed is None else seed + seed_offset)
    if not isinstance(sampler, BaseSampler):
        raise ConfigError(f"{SAMPLER} is a {type(sampler).__name__}, not a sampler of optuna.samplers.")
    return sampler


def grid_size(sampler: BaseSampler, space: SearchSpace) -> int | None:
    """Return the number of points of the space if the sampler is a grid, None for any other sampler."""
    return space.n_points() if isinstance(sampler, GridSampler) else None


def open_study(
    *, name: str, storage: BaseStorage, directions: Sequence[Direction], sampler: BaseSampler, pruner: BasePruner
) -> tuple[optuna.Study, bool]:
    """Create the study, or load the one of this name. Returns it, and whether this driver has created it.

    Of two drivers that start at the same time only one creates it. Raises what `check_kind` raises.
    """
    parts: dict[str, Any] = {"study_name": name, "storage": storage, "sampler": sampler, "pruner": pruner}
    try:
        study, is_new = optuna.load_study(**parts), False
    except KeyError:
        study, is_new = _created(directions, parts)
    check_kind(study, directions=directions)
    return study, is_new


def _created(directions: Sequence[Direction], parts: dict[str, Any]) -> tuple[optuna.Study, bool]:
    try:
        return optuna.create_study(directions=directions, **parts), True
    except DuplicatedStudyError:
        return optuna.load_study(**parts), False


def check_kind(study: optuna.Study, *, directions: Sequence[Direction]) -> None:
    """Raise `ConfigError` if the study has other directions, or was not made by Lightsweep."""
    name, existing = study.study_name, [direction.name.lower() for direction in study.directions]
    if existing != [*directions]:
        raise ConfigError(
            f"hydra.sweeper.direction is {', '.join(directions)}, but the study '{name}' was made to"
            f" {', '.join(existing)}. {WAYS_OUT}"
        )
    if fingerprint_of(study) is None and study.get_trials(deepcopy=False):
        raise ConfigError(f"the study '{name}' exists and was not made by Lightsweep. {WAYS_OUT}")


def fingerprint_of(study: optuna.Study) -> Fingerprint | None:
    """Return the settings that were recorded in the study, None if it has none."""
    return Fingerprint.from_record(study.user_attrs.get(FINGERPRINT))


def monitor_of(study: optuna.Study) -> str:
    """Return the metric of the study, "value" if another tool made it and gave it no name.

    Of several objectives it is the first one.
    """
    fingerprint = None if len(study.directions) > 1 else fingerprint_of(study)
    monitor = None if fingerprint is None else fingerprint.strict.get("monitor")
    return monitor or (study.metric_names or ["value"])[0]


def step_of(study: optuna.Study) -> str:
    """Return what the steps of reported values are: epochs, unless another tool made the study."""
    return "step" if fingerprint_of(study) is None else "epoch"


def record_fingerprint(study: optuna.Study, now: Fingerprint, *, allow_changes: Sequence[str]) -> bool:
    """Record the settings in the study. Returns whether strict settings have changed.

    Prints a warning that lists all changes, and one if columns are read in another way since then. Raises what
    `check_changes` raises.
    """
    changed = check_changes(study, now, allow_changes=allow_changes)
    then = fingerprint_of(study)
    if then is not None and READS_CODES in now.strict and READS_CODES not in then.strict:
        print(NOTE_ON_CODES, file=sys.stderr)
    if then is not None and (all_changes := changed | differences(then.informational, now.informational)):
        print(f"warning: changed since this search began:\n{side_by_side(all_changes)}", file=sys.stderr)
    if now != then:
        study.set_user_attr(FINGERPRINT, now.to_record())
    return bool(changed)


def n_trials_of(study: optuna.Study) -> int | None:
    """Return how many trials the search is to run, None if it is not recorded."""
    n_trials = study.user_attrs.get(N_TRIALS)
    return n_trials if isinstance(n_trials, int) else None


def record_n_trials(study: optuna.Study, n_trials: int) -> None:
    """Record how many trials the search is to run, for `python -m lightsweep.status`."""
    if study.user_attrs.get(N_TRIALS) != n_trials:
        study.set_user_attr(N_TRIALS, n_trials)


def objective_names(config: DictConfig, *, n: int) -> list[str]:
    """Return the names of the `n` objectives of a search: its monitored metrics, or `value` for what a task returns.

    Raises `ConfigError` for an empty list.
    """
    names = [str(name) for name in listed(OmegaConf.select(config, "monitor", default="value"))]
    if not names:
        raise ConfigError("monitor is []; it must be the name of a metric, such as val/acc, or a list of them.")
    return names if len(names) == n else [names[0], *(f"value {i + 1}" for i in range(1, n))]


def record_objectives(study: optuna.Study, names: Sequence[str], *, ship: str) -> None:
    """Record in a study with several objectives their names, and the rule that chooses the trial to export."""
    if len(names) == 1:
        return
    if study.metric_names != [*names]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # the dashboard shows the names
            study.set_metric_names([*names])
    if study.user_attrs.get(SHIP) != ship:
        study.set_user_attr(SHIP, ship)


def check_changes(study: optuna.Study, now: Fingerprint, *, allow_changes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the changed strict settings by key: the value before and the value now.

    Raises `ConfigError` for a change that `allow_changes` does not name, because new trials could not be compared
    with the existing ones, and for changed choices, because Optuna does not allow them within a study.
    """
    then = fingerprint_of(study)
    if then is None:
        return {}
    changed = differences(then.strict, now.strict)
    forbidden = {key: pair for key, pair in changed.items() if not is_within(key, allow_changes)}
    if forbidden:
        raise ConfigError(_changes_message(study.study_name, forbidden))
    if fixed := [key for key, pair in changed.items() if all(value.startswith(CHOICES) for value in pair)]:
        raise ConfigError(
            f"allow_changes: within a study the choices of {', '.join(fixed)} can't change. Start a new search that"
            " takes over the trials that fit: fork=<the folder of this search>."
        )
    return changed


def _changes_message(name: str, changed: Mapping[str, tuple[str, str]]) -> str:
    return (
        f"the study '{name}' was made with other settings, so its trials don't compare with new ones:\n"
        f"{side_by_side(changed)}\n"
        "Ways out: change the settings back; start a new search in its own folder (without resume and hydra.sweep.dir),"
        f" which can take over the trials that fit (fork=<folder>). {WAYS_OUT} If you know that the trials can be"
        f" compared: 'allow_changes=[{','.join(changed)}]'"
    )
