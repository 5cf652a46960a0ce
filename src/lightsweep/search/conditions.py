"""Conditional parameters (`hydra.sweeper.when`), such as the momentum of one optimizer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Transformer
from omegaconf import DictConfig, OmegaConf

from lightsweep.direction import listed
from lightsweep.errors import ConfigError


@dataclass(frozen=True)
class Condition:
    """Holds if the parameter `parent` has one of `values`; `text` is the condition as the user wrote it."""

    parent: str
    values: tuple[Any, ...]
    text: str

    def holds(self, params: Mapping[str, Any]) -> bool:
        if self.parent not in params:
            return False
        actual = params[self.parent]
        return any(type(actual) is type(value) and bool(actual == value) for value in self.values)


def parse_conditions(when: Mapping[str, str], *, known: Iterable[str]) -> dict[str, Condition]:
    """Parse `hydra.sweeper.when`, which maps a parameter to `other=value` or `other=value,value`.

    Raises `ConfigError` if a parameter is not one of `known`, or a text does not have that form.
    """
    known = {name.lstrip("+~") for name in known}
    if unknown := [name for name in when if name not in known]:
        raise ConfigError(f"hydra.sweeper.when names {', '.join(unknown)}, which hydra.sweeper.params does not have.")
    return {name: _condition(name, text) for name, text in when.items()}


def _condition(name: str, text: str) -> Condition:
    try:
        override = OverridesParser.create().parse_override(text)
        values: list[Any] = list(override.sweep_iterator()) if override.is_sweep_override() else [override.value()]
    except Exception as error:
        raise ConfigError(
            f"hydra.sweeper.when.{name} is '{text}'; it must be other=value or other=value,value, with the name of"
            " another parameter."
        ) from error
    return Condition(override.get_key_element(), tuple(map(Transformer.encode, values)), text)


def resolve_conditions(
    names: Iterable[str], conditions: Mapping[str, Condition], *, config: DictConfig | None
) -> tuple[list[str], dict[str, Condition]]:
    """Return the parameters that can apply, each after its parent, and the conditions that depend on a trial.

    A condition on a parameter that is not searched is decided by its value in the config.
    Raises `ConfigError` if conditions depend on each other.
    """
    waiting = list(names)
    searched = set(waiting)
    order: list[str] = []
    open_conditions: dict[str, Condition] = {}
    while waiting:
        ready = [n for n in waiting if n not in conditions or conditions[n].parent not in waiting]
        if not ready:
            raise ConfigError(f"hydra.sweeper.when: {', '.join(waiting)} depend on each other.")
        for name in ready:
            waiting.remove(name)
            condition = conditions.get(name)
            if condition is None:
                order.append(name)
            elif condition.parent in order:
                order.append(name)
                open_conditions[name] = condition
            elif condition.parent not in searched and condition.holds(_config_value(condition.parent, config)):
                order.append(name)
    unconditional = [name for name in names if name in order and name not in open_conditions]
    return [*unconditional, *(name for name in order if name in open_conditions)], open_conditions


def _config_value(name: str, config: DictConfig | None) -> dict[str, Any]:
    """Return the name with its value in the config: the chosen option of a config group, or the value of a key.

    If several metrics are monitored, a condition on `monitor` is one on the first.
    """
    if config is None:
        return {}
    choices = OmegaConf.select(config, "hydra.runtime.choices") or {}
    value = choices[name] if name in choices else OmegaConf.select(config, name)
    return {name: listed(value)[0] if name == "monitor" and value else value}
