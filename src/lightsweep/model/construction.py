"""Builds a model from its config node, with the attributes of the data that its constructor asks for."""

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
    """Stand in for the data module when an exported model is built without data, to predict with it."""
    return SimpleNamespace(
        d_in=d_in,
        d_out=target.d_out,
        task=target.task,
        classes=target.classes,
        n_numbers=n_numbers,
        cardinalities=cardinalities,
        class_weights=None,  # only the loss uses them
        target_scaler=target.scaler,
        quantiles=lambda n_bins: torch.zeros(n_numbers, n_bins + 1),  # the real edges are in the weights
    )


def build_data_and_model(cfg: DictConfig) -> tuple[Any, Any]:
    """Build the data module of the config, and the model for it."""
    data = build(cfg.data, "data")
    optimizer = build(cfg.optimizer, "optimizer") if cfg.get("optimizer") else None
    return data, build_model(cfg.model, data=data, optimizer=optimizer)


def build_model(node: DictConfig, *, data: Any, optimizer: Any) -> Any:
    """Build the model's node with the attributes of `data` that its target takes, and the optimizer if there is one.

    Raises what `build` and `constructor_arguments` raise.
    """
    target = locate_target(node, "model")
    arguments = constructor_arguments(target, data, configured=[str(key) for key in node])
    if optimizer is not None or any(parameter.name == "optimizer" for parameter in _parameters(target)):
        arguments["optimizer"] = optimizer
    return build(node, "model", **arguments)


def constructor_arguments(target: Callable[..., Any], data: Any, *, configured: Collection[str] = ()) -> dict[str, Any]:
    """Return the attributes of `data`, by name, that the signature of `target` has as parameters.

    Raises `ConfigError` if `data` lacks one that has no default and is not among the `configured` names.
    """
    parameters = {parameter.name: parameter for parameter in _parameters(target) if parameter.name in DATA_ATTRIBUTES}
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and name not in configured and not hasattr(data, name)
    ]
    if missing:
        raise ConfigError(
            f"model._target_ takes {', '.join(missing)}, but data._target_ is {type(data).__name__}, which has no such"
            " attribute. Add it to the data module, or give the model's parameter a default."
        )
    return {name: getattr(data, name) for name in DATA_ATTRIBUTES if name in parameters and hasattr(data, name)}


def _parameters(target: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    """Yield the parameters of a function, or of a class and of those base classes to which it passes `**kwargs`."""
    if not isinstance(target, type):
        yield from inspect.signature(target).parameters.values()
        return
    for kind in constructors_of(target):
        yield from inspect.signature(vars(kind)["__init__"]).parameters.values()
