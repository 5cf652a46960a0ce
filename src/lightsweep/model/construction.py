"""What a model may be told of the data: those facts that its constructor names, and no other."""

import inspect
from collections.abc import Callable, Collection, Iterator
from types import SimpleNamespace
from typing import Any

import torch
from omegaconf import DictConfig

from lightsweep.config.instantiate import build, constructors_of, locate_target
from lightsweep.data.target import Target
from lightsweep.errors import ConfigError

DATA_ATTRIBUTES = (
    "d_in",
    "d_out",
    "task",
    "classes",
    "n_numbers",
    "cardinalities",
    "class_weights",
    "target_scaler",
    "quantiles",
)


def stored_attributes(*, d_in: int, n_numbers: int, cardinalities: tuple[int, ...], target: Target) -> SimpleNamespace:
    """In place of a data module, where a shipped model is built again: there is no data then, nothing is trained."""
    return SimpleNamespace(
        d_in=d_in,
        d_out=target.d_out,
        task=target.task,
        classes=target.classes,
        n_numbers=n_numbers,
        cardinalities=cardinalities,
        class_weights=None,  # of the loss alone
        target_scaler=target.scaler,
        quantiles=lambda n_bins: torch.zeros(n_numbers, n_bins + 1),  # the edges themselves come with the weights
    )


def build_model(node: DictConfig, *, data: Any, optimizer: Any) -> Any:
    """Build the node of a model with the facts of the data that its target names, and the optimizer if there is one.

    Raises what `build` and `constructor_arguments` raise.
    """
    target = locate_target(node, "model")
    given = constructor_arguments(target, data, without=[str(key) for key in node])
    if optimizer is not None or any(parameter.name == "optimizer" for parameter in _parameters(target)):
        given["optimizer"] = optimizer
    return build(node, "model", **given)


def constructor_arguments(target: Callable[..., Any], data: Any, *, without: Collection[str] = ()) -> dict[str, Any]:
    """The attributes of `data`, by name, that the signature of `target` asks for.

    Raises `ConfigError` if one is not there that has no default and is not among `without`.
    """
    asked = {parameter.name: parameter for parameter in _parameters(target) if parameter.name in DATA_ATTRIBUTES}
    missing = [
        name
        for name, parameter in asked.items()
        if parameter.default is parameter.empty and name not in without and not hasattr(data, name)
    ]
    if missing:
        raise ConfigError(
            f"model._target_ takes {', '.join(missing)}, but data._target_ is {type(data).__name__}, which has no such"
            " attribute. Add it to the data module, or give the model's parameter a default."
        )
    return {name: getattr(data, name) for name in DATA_ATTRIBUTES if name in asked and hasattr(data, name)}


def _parameters(target: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    """Those of the signature; where it hands `**kwargs` on, as a subclass does, also those of the next class."""
    if not isinstance(target, type):
        yield from inspect.signature(target).parameters.values()
        return
    for kind in constructors_of(target):
        yield from inspect.signature(vars(kind)["__init__"]).parameters.values()
