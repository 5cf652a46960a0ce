"""From a config node to the object that it names, with errors that the writer of the config can read."""

import functools
import inspect
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from lightsweep.errors import ConfigError

REFUSALS = (InstantiationException, ValueError, ImportError)


def build(node: DictConfig, **kwargs: Any) -> Any:
    """Call the node's `_target_` with its keys and `kwargs`; lists and mappings arrive as plain Python.

    Raises `ConfigError` if the target is not trusted, does not exist, does not take these arguments, or refuses
    their values. Any other exception of the target passes through.
    """
    try:
        built = hydra.utils.instantiate(_resolved(node), _convert_="all", **kwargs)
        if isinstance(built, functools.partial):
            _check_arguments(built, node)
        return built
    except ConfigError:
        raise
    except REFUSALS as error:
        raise ConfigError(_message(error)) from error
    except TypeError as error:
        if _comes_from_the_call_itself(error, target=str(node.get("_target_"))):
            raise ConfigError(_message(error)) from error
        raise
    except Exception as error:
        if type(error).__name__ == "MisconfigurationException":  # Lightning's; importing it would take seconds
            raise ConfigError(_message(error)) from error
        raise


def build_all(nodes: DictConfig | None) -> list[Any]:
    """Build each entry of a group such as `callbacks`; an entry that was set to null is left out."""
    return [build(node) for node in (nodes or {}).values() if node is not None]


def _resolved(node: DictConfig) -> DictConfig:
    """The node alone in a config of its own, at its place there: Hydra copies the whole config that a node is in."""
    values = OmegaConf.to_container(node, resolve=True)
    if _holds_dollar(values):
        return node  # an escaped interpolation would be taken for one
    if not (key := node._get_full_key(None)):
        return DictConfig(values)
    root = DictConfig({})
    OmegaConf.update(root, key, values)
    alone = OmegaConf.select(root, key)
    assert isinstance(alone, DictConfig)
    return alone


def _holds_dollar(values: Any) -> bool:
    if isinstance(values, dict):
        return any(map(_holds_dollar, values.values()))
    return any(map(_holds_dollar, values)) if isinstance(values, list) else isinstance(values, str) and "${" in values


def _message(error: Exception) -> str:
    text = " ".join(str(error).split())
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith("full_key: ")]  # Hydra's
    return f"{notes[0].removeprefix('full_key: ')}: {text}" if notes else text


def _check_arguments(partial: functools.partial[Any], node: DictConfig) -> None:
    """Check the keys of a `_partial_` node now, and not where it is called in the end."""
    try:
        inspect.signature(partial.func).bind_partial(*partial.args, **partial.keywords)
    except TypeError as error:
        raise ConfigError(f"{node._get_full_key(None)}: {node['_target_']} {error}") from error


def _comes_from_the_call_itself(error: TypeError, *, target: str) -> bool:
    """Whether the arguments did not fit the signature.

    Then the innermost frame is the caller's: Hydra's, or that of a decorator around the target.
    """
    if str(error).startswith(f"{target.rsplit('.', 1)[-1]}.__init__()"):
        return True
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and str(traceback.tb_frame.f_globals.get("__name__")).startswith("hydra.")
