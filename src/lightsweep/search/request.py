"""Parse what a search is asked to do: Hydra sweeps of the config and the command line become the search space."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString, Transformer
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, CategoricalDistribution

from lightsweep.errors import ConfigError, format_errors
from lightsweep.search.conditions import Condition, parse_conditions, resolve_conditions
from lightsweep.search.enqueue import Point
from lightsweep.search.space import Choice, SearchSpace, ends_of
from lightsweep.unofficial import distribution_of


@dataclass(frozen=True)
class Request:
    """The search space, the overrides that every job gets, and the parameters that the command line fixed.

    `points` are tried first in a new search.
    """

    space: SearchSpace
    fixed: list[str]
    fixed_by_user: list[str]
    points: Sequence[Point] = ()


def parse_request(
    params: Mapping[str, str],
    arguments: Sequence[str],
    *,
    when: Mapping[str, str] | None = None,
    config: DictConfig | None = None,
    config_loader: ConfigLoader | None = None,
) -> Request:
    """Merge `hydra.sweeper.params` with the command line, which may add, replace or fix a parameter.

    `when` has the conditions; `config` has the values of parameters that are not searched; `config_loader` knows the
    options of config groups, from which `glob` chooses.
    Raises `ConfigError` for an invalid range or condition, and Hydra's own errors for a syntax error.
    """
    parser = OverridesParser.create(config_loader)
    sweeps, fixed, fixed_by_user = _merged(
        parser.parse_overrides([f"{name}={text}" for name, text in params.items()]),
        parser.parse_overrides(list(arguments)),
    )
    conditions = parse_conditions(when or {}, known=[*params, *sweeps])
    names, open_conditions = resolve_conditions(sweeps, conditions, config=config)
    space = _space({name: sweeps[name] for name in names}, open_conditions)
    return Request(space=space, fixed=fixed, fixed_by_user=fixed_by_user)


def _merged(
    configured: Sequence[Override], given: Sequence[Override]
) -> tuple[dict[str, Override], list[str], list[str]]:
    """Return the sweeps by parameter, all fixed overrides, and the parameters that the command line fixed."""
    sweeps = {o.get_key_element(): o for o in configured if o.is_sweep_override()}
    fixed = [o.input_line or "" for o in configured if not o.is_sweep_override()]
    fixed_by_user = []
    for override in given:
        key = override.get_key_element()
        if override.is_sweep_override():
            sweeps[key.lstrip("+") if key.lstrip("+") in sweeps else key] = override
            continue
        fixed.append(override.input_line or "")
        if sweeps.pop(key.lstrip("+~"), None) is not None:
            fixed_by_user.append(key.lstrip("+~"))
    return sweeps, fixed, fixed_by_user


def _space(sweeps: Mapping[str, Override], conditions: dict[str, Condition]) -> SearchSpace:
    distributions, problems = {}, []
    for name, override in sweeps.items():
        try:
            distributions[name] = _distribution(name, override)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(format_errors(problems))
    texts = {name: _texts(override) for name, override in sweeps.items() if override.is_choice_sweep()}
    job_values = {name: _job_values(choices) for name, choices in texts.items()}
    return SearchSpace(distributions, texts, job_values, conditions)


def _distribution(name: str, override: Override) -> BaseDistribution:
    message = f"the search space of {name} is '{override.input_line}'"
    try:
        distribution = _options(override) if isinstance(override.value(), Glob) else distribution_of(override)
    except (ValueError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"{message}: {error}") from error
    assert isinstance(distribution, BaseDistribution)
    ends = ends_of(distribution)
    if any(isinstance(end, float) and not math.isfinite(end) for end in ends):
        raise ConfigError(f"{message}; its ends must be finite numbers.")
    if isinstance(distribution, CategoricalDistribution) and len(set(ends)) < len(ends):
        raise ConfigError(
            f"{message}; Optuna treats two of these choices as equal. Give choices that differ by more than their"
            " type or their quotes."
        )
    return distribution


def _options(override: Override) -> CategoricalDistribution:
    """Return the options of a config group that a `glob` fits."""
    options = [*map(str, override.sweep_iterator())]
    if not options:
        raise ValueError("no option of a config group fits it. List the choices, such as optimizer=choice(adam,sgd).")
    return CategoricalDistribution(options)


def _texts(override: Override) -> dict[Choice, str]:
    """Return the text of each choice as an override value."""
    texts = {}
    for element in override.sweep_iterator():
        choice = Transformer.encode(element)  # as Optuna stores it
        texts[type(choice), choice] = _override_value(element)
    return texts


def _override_value(element: Any) -> str:
    """Return the text of a value. A string is quoted only if Hydra would read the plain text as another value."""
    if not isinstance(element, str):
        return Transformer.str(element)
    try:
        plain = OverridesParser.create().parse_override(f"x={element}").value()
    except Exception:  # noqa: BLE001  (the parser raises several types)
        plain = None
    if isinstance(plain, str) and plain == element:
        return element
    return QuotedString(element, Quote.single).with_quotes()


def _job_values(texts: Mapping[Choice, str]) -> dict[Choice, Any]:
    parser = OverridesParser.create()
    return {choice: parser.parse_override(f"x={text}").value() for choice, text in texts.items()}
