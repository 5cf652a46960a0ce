"""From a config node to the object that it names, with errors that the writer of the config can read."""

from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from lightsweep.errors import ConfigError

REFUSALS = (InstantiationException, ValueError, ImportError)


def build(node: DictConfig, **kwargs: Any) -> Any:
    """Call the node's `_target_` with its keys and `kwargs`; lists and mappings arrive as plain Python.

    Raises `ConfigError` if the target is not trusted, does not exist, does not take these arguments, or refuses
    their values. Any other exception of the target passes through.
    """
    try:
        return hydra.utils.instantiate(node, _convert_="all", **kwargs)
    except ConfigError:
        raise
    except REFUSALS as error:
        raise ConfigError(_message(error)) from error
    except TypeError as error:
        if _comes_from_the_call_itself(error):
            raise ConfigError(_message(error)) from error
        raise
    except Exception as error:
        if type(error).__name__ == "MisconfigurationException":  # Lightning's; importing it would take seconds
            raise ConfigError(_message(error)) from error
        raise


def build_all(nodes: DictConfig | None) -> list[Any]:
    """Build each entry of a group such as `callbacks`; an entry that was set to null is left out."""
    return [build(node) for node in (nodes or {}).values() if node is not None]


def _message(error: Exception) -> str:
    text = " ".join(str(error).split())
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith("full_key: ")]  # Hydra's
    return f"{notes[0].removeprefix('full_key: ')}: {text}" if notes else text


def _comes_from_the_call_itself(error: TypeError) -> bool:
    """Whether the arguments did not fit the signature: then the innermost frame is the caller's, which is Hydra."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and str(traceback.tb_frame.f_globals.get("__name__")).startswith("hydra.")
