"""Parameters that are searched only where another one has a certain value, such as the momentum of one optimizer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Transformer
from omegaconf import DictConfig, OmegaConf

from lightsweep.errors import ConfigError


@dataclass(frozen=True)
class Condition:
    """Holds where the parameter `parent` has one of `values`; `text` is as it was written."""

    parent: str
    values: tuple[Any, ...]
    text: str

    def holds(self, params: Mapping[str, Any]) -> bool:
        return self.parent in params and any(_is_same(params[self.parent], value) for value in self.values)


def parse_conditions(when: Mapping[str, str], *, known: Iterable[str]) -> dict[str, Condition]:
    """Read `hydra.sweeper.when`: by parameter `other=value`, or `other=value,value`.

    Raises `ConfigError` if a parameter is not among the `known` ones, or the text is not of that form.
    """
    known = {name.lstrip("+~") for name in known}
    if unknown := [name for name in when if name not in known]:
        raise ConfigError(f"hydra.sweeper.when names {', '.join(unknown)}, which hydra.sweeper.params does not have.")
    return {name: _condition(name, text) for name, text in when.items()}


def settled(
    names: Iterable[str], conditions: Mapping[str, Condition], *, config: DictConfig | None
) -> tuple[list[str], dict[str, Condition]]:
    """The parameters that may apply, each after the one that it depends on, and the conditions that are left to ask.

    A condition on what is not searched is decided by the config. Raises `ConfigError` if some depend on each other.
    """
    waiting = list(names)
    searched = set(waiting)
    order: list[str] = []
    left: dict[str, Condition] = {}
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
                left[name] = condition
            elif condition.parent not in searched and condition.holds(_fixed(condition.parent, config)):
                order.append(name)
    return [n for n in names if n in order and n not in left] + [n for n in order if n in left], left


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


def _fixed(name: str, config: DictConfig | None) -> dict[str, Any]:
    """What the config has for a parameter that is not searched; nothing if it has no such key."""
    if config is None:
        return {}
    choices = OmegaConf.select(config, "hydra.runtime.choices") or {}
    value = choices[name] if name in choices else OmegaConf.select(config, name)
    return {name: value}


def _is_same(there: Any, value: Any) -> bool:
    return type(there) is type(value) and bool(there == value)
