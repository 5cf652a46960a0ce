"""From the sweeps of the config and the command line to Optuna's distributions, and from a trial back to overrides."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString, Transformer
from omegaconf import DictConfig
from optuna import Trial
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from lightsweep.config.validation import problem_of
from lightsweep.errors import ConfigError, format_errors
from lightsweep.search.conditions import Condition, parse_conditions, settled
from lightsweep.unofficial import distribution_of

MAX_GRID_POINTS = 1_000_000


@dataclass(frozen=True)
class SearchSpace:
    """Each searched parameter, by config path or group, with its distribution.

    `texts` holds how each choice of a categorical parameter is written as an override: Optuna keeps choices as
    plain values, and those alone don't tell the string 'true' from the boolean. `choices` holds what each is meant
    to be in a job. A parameter with a condition comes after the one that it depends on, and applies where it holds.
    """

    distributions: dict[str, BaseDistribution]
    texts: dict[str, dict[tuple[type, Any], str]]
    choices: dict[str, dict[tuple[type, Any], Any]] = field(default_factory=dict)
    conditions: dict[str, Condition] = field(default_factory=dict)

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Let the trial draw a value for every parameter that applies."""
        drawn: dict[str, Any] = {}
        for name, dist in self.distributions.items():
            if self._applies(name, drawn):
                drawn[name] = _suggested(trial, name, dist)
        return drawn

    def applicable(self, params: Mapping[str, Any]) -> list[str]:
        """The parameters that apply where these have their values, whether they have one or not."""
        known: dict[str, Any] = {}
        names = []
        for name in self.distributions:
            if self._applies(name, known):
                names.append(name)
                known |= {name: params[name]} if name in params else {}
        return names

    def _applies(self, name: str, params: Mapping[str, Any]) -> bool:
        return name not in self.conditions or self.conditions[name].holds(params)

    def _only_applicable(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {name: params[name] for name in self.applicable(params)}

    def to_overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Write parameters as Hydra overrides, such that Hydra reads back the same values of the same types."""
        return [f"{name}={self._text(name, value)}" for name, value in params.items()]

    def _text(self, name: str, value: Any) -> str:
        return self.texts.get(name, {}).get((type(value), value), str(value))

    def meant(self, name: str, value: Any) -> Any:
        """The value that a job is to see where the study holds `value`: a list, say, where that is its text."""
        return self.choices.get(name, {}).get((type(value), value), value)

    def smallest(self) -> dict[str, Any]:
        """The low end of every range, the least of every choice of numbers, and the first of any other choice."""
        return self._only_applicable({n: _extreme(dist, pick=min, end=0) for n, dist in self.distributions.items()})

    def largest(self) -> dict[str, Any]:
        """The high end of every range, the greatest of every choice of numbers, and the last of any other choice."""
        return self._only_applicable({n: _extreme(dist, pick=max, end=-1) for n, dist in self.distributions.items()})

    def n_points(self) -> int | None:
        """How many points the space has, None if one of its parameters is continuous, or has a condition."""
        if self.conditions:
            return None
        counts = [_n_values(dist) for dist in self.distributions.values()]
        return None if None in counts else math.prod(filter(None, counts))

    def samples(self) -> list[dict[str, Any]]:
        """Parameter sets that show every choice, and both ends of every range, at least once; not many."""
        ends = {name: _ends(dist) for name, dist in self.distributions.items()}
        n_sets = max(map(len, ends.values()), default=0)
        whole = [{name: values[min(i, len(values) - 1)] for name, values in ends.items()} for i in range(n_sets)]
        sets = [self._only_applicable(params) for params in whole]
        for name in self.conditions:
            shown = [params[name] for params in sets if name in params]
            missing = [value for value in ends[name] if value not in shown]
            sets += [self._only_applicable({**whole[0], **self._cause(name), name: value}) for value in missing]
        return sets

    def _cause(self, name: str) -> dict[str, Any]:
        """Values of other parameters with which this one applies."""
        if name not in self.conditions:
            return {}
        condition = self.conditions[name]
        return {**self._cause(condition.parent), condition.parent: condition.values[0]}

    def problems(self) -> list[str]:
        """What is wrong with the ends of the ranges and with the choices."""
        return [
            f"the search space: {problem}"
            for name, dist in self.distributions.items()
            for value in _ends(dist)
            if (problem := problem_of(name, self.meant(name, value)))
        ]

    def grid(self) -> dict[str, list[Any]]:
        """All values of every parameter.

        Raises `ConfigError` if one is continuous or has a condition, or if the grid is too large.
        """
        if self.conditions:
            raise ConfigError(
                f"hydra/sweeper/sampler=grid gives every parameter a value, but {', '.join(self.conditions)} apply only"
                " where others have certain values. Fix these or those on the command line, or take another sampler."
            )
        continuous = [n for n, d in self.distributions.items() if isinstance(d, FloatDistribution) and d.step is None]
        if continuous:
            raise ConfigError(
                f"hydra/sweeper/sampler=grid needs values to choose from, but {', '.join(continuous)}"
                f" {'is' if len(continuous) == 1 else 'are'} continuous. Give choices,"
                f" such as '{continuous[0]}=choice(0.1,0.2)'."
            )
        return {name: _values(dist) for name, dist in self.distributions.items()}

    def described(self) -> dict[str, str]:
        """Each range or list of choices as a person reads it, and as two spaces are compared."""
        return {name: _described(dist) + self._where(name) for name, dist in self.distributions.items()}

    def _where(self, name: str) -> str:
        return f" if {self.conditions[name].text}" if name in self.conditions else ""


@dataclass(frozen=True)
class Request:
    """What a search is asked to do: the space, the overrides that every job gets, and what was taken out."""

    space: SearchSpace
    fixed: list[str]
    fixed_by_user: list[str]


def parse_request(
    params: Mapping[str, str],
    arguments: Sequence[str],
    *,
    when: Mapping[str, str] | None = None,
    config: DictConfig | None = None,
) -> Request:
    """Merge the config's space with the command line, which may widen, replace or fix any of its parameters.

    `when` says of some of them where they apply, and `config` has the values of what is not searched.
    Raises `ConfigError` for a range or a condition that makes no sense; Hydra's own errors for what can't be parsed.
    """
    parser = OverridesParser.create()
    configured = parser.parse_overrides([f"{name}={text}" for name, text in params.items()])
    given = parser.parse_overrides(list(arguments))

    sweeps = {o.get_key_element(): o for o in configured if o.is_sweep_override()}
    fixed = [o.input_line or "" for o in configured if not o.is_sweep_override()]
    fixed_by_user = []
    for override in given:
        key = override.get_key_element()
        if override.is_sweep_override():
            if key.lstrip("+") in sweeps:
                key = key.lstrip("+")
            sweeps[key] = override
            continue
        fixed.append(override.input_line or "")
        if sweeps.pop(key.lstrip("+~"), None) is not None:
            fixed_by_user.append(key.lstrip("+~"))
    asked = parse_conditions(when or {}, known=[*params, *sweeps])
    names, conditions = settled(sweeps, asked, config=config)
    sweeps = {name: sweeps[name] for name in names}
    choices = {name: override for name, override in sweeps.items() if override.is_choice_sweep()}
    space = SearchSpace(
        distributions=_distributions(sweeps),
        texts={name: _texts(override) for name, override in choices.items()},
        choices={name: _meanings(override) for name, override in choices.items()},
        conditions=conditions,
    )
    return Request(space=space, fixed=fixed, fixed_by_user=fixed_by_user)


def _distributions(sweeps: Mapping[str, Override]) -> dict[str, BaseDistribution]:
    distributions, problems = {}, []
    for name, override in sweeps.items():
        try:
            distributions[name] = _distribution(name, override)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(format_errors(problems))
    return distributions


def _distribution(name: str, override: Override) -> BaseDistribution:
    try:
        distribution = distribution_of(override)
    except (ValueError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"the search space of {name} is '{override.input_line}': {error}") from error
    assert isinstance(distribution, BaseDistribution)
    ends = _ends(distribution)
    if any(isinstance(end, float) and not math.isfinite(end) for end in ends):
        raise ConfigError(f"the search space of {name} is '{override.input_line}'; its ends must be finite numbers.")
    if len(set(ends)) < len(ends) and isinstance(distribution, CategoricalDistribution):
        raise ConfigError(
            f"the search space of {name} is '{override.input_line}'; Optuna takes two of these choices for the same."
            " Give choices that differ by more than their type or their quotes."
        )
    return distribution


def _texts(override: Override) -> dict[tuple[type, Any], str]:
    return {choice: _as_override_value(element) for choice, element in _by_choice(override).items()}


def _meanings(override: Override) -> dict[tuple[type, Any], Any]:
    parser = OverridesParser.create()
    return {choice: parser.parse_override(f"x={text}").value() for choice, text in _texts(override).items()}


def _by_choice(override: Override) -> dict[tuple[type, Any], Any]:
    elements = list(override.sweep_iterator())
    encoded = [Transformer.encode(element) for element in elements]
    return {(type(key), key): element for key, element in zip(encoded, elements, strict=True)}


def _as_override_value(element: Any) -> str:
    """Quote a string only if Hydra would read it as something else: as a number, a boolean, a list, or not at all."""
    if not isinstance(element, str):
        return Transformer.str(element)
    try:
        plain = OverridesParser.create().parse_override(f"x={element}").value()
    except Exception:  # noqa: BLE001  (the parser has several kinds of "no")
        plain = None
    if isinstance(plain, str) and plain == element:
        return element
    return QuotedString(element, Quote.single).with_quotes()


def _suggested(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def _described(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return f"choice({', '.join(map(repr, distribution.choices))})"
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    step = f" in steps of {distribution.step}" if distribution.step not in (None, 1) else ""
    return f"{distribution.low} to {distribution.high}{step}{' (log)' if distribution.log else ''}"


def _ends(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return [distribution.low, distribution.high]


def _extreme(distribution: BaseDistribution, *, pick: Callable[[list[Any]], Any], end: int) -> Any:
    ends = _ends(distribution)
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in ends)
    return pick(ends) if are_numbers else ends[end]


def _n_values(distribution: BaseDistribution) -> int | None:
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
    step = distribution.step or 1
    n_values = _n_values(distribution) or 1
    if n_values > MAX_GRID_POINTS:
        raise ConfigError(f"hydra/sweeper/sampler=grid: a range of {n_values} values is too large for a grid.")
    return [distribution.low + i * step for i in range(n_values)]
