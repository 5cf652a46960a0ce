"""The search space: what Optuna draws, and how drawn values are written as Hydra overrides."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_loader import ConfigLoader
from optuna import Trial
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

from lightsweep.errors import ConfigError
from lightsweep.search.conditions import Condition
from lightsweep.trial.params import exact

MAX_GRID_POINTS = 1_000_000

Choice = tuple[type, Any]  # type and value of a choice, because Python takes 1 and True for the same key


@dataclass(frozen=True)
class SearchSpace:
    """The distribution of each searched parameter, by config path or config group.

    Optuna stores choices as plain values, so a list is stored as its text, and the quotes of 'true' are lost.
    `texts` therefore has each choice as an override value, and `job_values` as the value that a job gets.
    A conditional parameter comes after its parent.
    """

    distributions: dict[str, BaseDistribution]
    texts: dict[str, dict[Choice, str]]
    job_values: dict[str, dict[Choice, Any]] = field(default_factory=dict)
    conditions: dict[str, Condition] = field(default_factory=dict)

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Draw a value for every parameter that applies."""
        params: dict[str, Any] = {}
        for name, distribution in self.distributions.items():
            if self._applies(name, params):
                params[name] = _suggest(trial, name, distribution)
        return params

    def applicable(self, params: Mapping[str, Any]) -> list[str]:
        """Return the parameters that apply given these values, including those without a value."""
        known: dict[str, Any] = {}
        names = []
        for name in self.distributions:
            if self._applies(name, known):
                names.append(name)
                known |= {name: params[name]} if name in params else {}
        return names

    def _applies(self, name: str, params: Mapping[str, Any]) -> bool:
        return name not in self.conditions or self.conditions[name].holds(params)

    def only_applicable(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the values whose parameters apply."""
        return {name: params[name] for name in self.applicable(params) if name in params}

    def contains(self, name: str, value: Any) -> bool:
        """Tell whether a parameter may have the value, given as the study stores it."""
        distributions = {name: self.distributions[name]}
        try:  # Optuna checks the value against its distribution
            create_trial(state=TrialState.FAIL, params={name: value}, distributions=distributions)
        except (ValueError, TypeError):
            return False
        return True

    def to_overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Return overrides from which Hydra reads the values of `params` with their types."""
        return [
            f"{name}={self.texts.get(name, {}).get((type(value), value), exact(value, self.distributions.get(name)))}"
            for name, value in params.items()
        ]

    def job_value(self, name: str, value: Any) -> Any:
        """Return the value that a job gets where the study has `value`, such as a list for its text."""
        return self.job_values.get(name, {}).get((type(value), value), value)

    def stored_value(self, name: str, value: Any) -> Any:
        """Return what the study has where a job gets `value`, such as the text of a list."""
        for (_, choice), job_value in self.job_values.get(name, {}).items():
            if type(job_value) is type(value) and job_value == value:
                return choice
        return value

    def smallest(self) -> dict[str, Any]:
        """Return the low end of every range, the minimum of numeric choices, and the first of other choices."""
        return self.only_applicable({n: _extreme(d, pick=min, index=0) for n, d in self.distributions.items()})

    def largest(self) -> dict[str, Any]:
        """Return the high end of every range, the maximum of numeric choices, and the last of other choices."""
        return self.only_applicable({n: _extreme(d, pick=max, index=-1) for n, d in self.distributions.items()})

    def n_points(self) -> int | None:
        """Return the number of points, None if a parameter is continuous or conditional."""
        counts = [_n_values(distribution) for distribution in self.distributions.values()]
        return None if self.conditions or None in counts else math.prod(filter(None, counts))

    def samples(self) -> list[dict[str, Any]]:
        """Return a few parameter sets that together show every choice and both ends of every range."""
        ends = {name: ends_of(distribution) for name, distribution in self.distributions.items()}
        n_sets = max(map(len, ends.values()), default=0)
        complete = [{name: values[min(i, len(values) - 1)] for name, values in ends.items()} for i in range(n_sets)]
        samples = [self.only_applicable(params) for params in complete]
        for name in self.conditions:
            shown = [params[name] for params in samples if name in params]
            missing = [value for value in ends[name] if value not in shown]
            samples += [self.only_applicable({**complete[0], **self._parents(name), name: v}) for v in missing]
        return samples

    def _parents(self, name: str) -> dict[str, Any]:
        """Return values of other parameters with which a parameter applies."""
        if name not in self.conditions:
            return {}
        condition = self.conditions[name]
        return {**self._parents(condition.parent), condition.parent: condition.values[0]}

    def grid(self) -> dict[str, list[Any]]:
        """Return all values of every parameter.

        Raises `ConfigError` if a parameter is continuous or conditional, or has too many values.
        """
        if self.conditions:
            raise ConfigError(
                f"hydra/sweeper/sampler=grid gives every parameter a value, but {', '.join(self.conditions)} apply only"
                " where other parameters have certain values. Fix one of them on the command line, or choose another"
                " sampler."
            )
        continuous = [n for n, d in self.distributions.items() if isinstance(d, FloatDistribution) and d.step is None]
        if continuous:
            raise ConfigError(
                f"hydra/sweeper/sampler=grid needs values to choose from, but {', '.join(continuous)}"
                f" {'is' if len(continuous) == 1 else 'are'} continuous. Give choices,"
                f" such as '{continuous[0]}=choice(0.1,0.2)'."
            )
        return {name: _values(distribution) for name, distribution in self.distributions.items()}

    def described(self) -> dict[str, str]:
        """Return each distribution as text. The texts are shown to the user and compared when a search is resumed."""
        return {
            name: described(d) + (f" if {self.conditions[name].text}" if name in self.conditions else "")
            for name, d in self.distributions.items()
        }


def group_names(space: SearchSpace, config_loader: ConfigLoader) -> list[str]:
    """Return the parameters that choose from a config group, such as `optimizer`."""
    return [n for n in space.distributions if config_loader.get_group_options(n.lstrip("+").split("@")[0])]


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def described(distribution: BaseDistribution) -> str:
    """Return a distribution as text."""
    if isinstance(distribution, CategoricalDistribution):
        return f"choice({', '.join(map(repr, distribution.choices))})"
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    step = f" in steps of {distribution.step}" if distribution.step not in (None, 1) else ""
    return f"{distribution.low} to {distribution.high}{step}{' (log)' if distribution.log else ''}"


def ends_of(distribution: BaseDistribution) -> list[Any]:
    """Return all choices, or both ends of a range."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return [distribution.low, distribution.high]


def _extreme(distribution: BaseDistribution, *, pick: Callable[[list[Any]], Any], index: int) -> Any:
    ends = ends_of(distribution)
    is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in ends)
    return pick(ends) if is_numeric else ends[index]


def _n_values(distribution: BaseDistribution) -> int | None:
    """Return the number of values, None if the distribution is continuous."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.single():
        return 1
    if distribution.step is None:
        return None
    return round((distribution.high - distribution.low) / distribution.step) + 1


def _values(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    n_values = _n_values(distribution) or 1
    if n_values > MAX_GRID_POINTS:
        raise ConfigError(f"hydra/sweeper/sampler=grid: a range of {n_values} values is too large for a grid.")
    return [distribution.low + i * (distribution.step or 1) for i in range(n_values)]
