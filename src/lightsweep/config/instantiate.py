"""From a config node to the object that it names, with errors that the writer of the config can read."""

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from lightsweep.config.targets import current_target, how_to_allow
from lightsweep.errors import ConfigError

REFUSALS = (InstantiationException, ValueError, ImportError)
# What Hydra says, as far as more can be said; an alias is refused for the object behind it.
NOT_TRUSTED = re.compile(
    r"Target '([^']+\.[^']+)'(?: \(resolved from '([^']+)'\))? is not in the Hydra execution whitelist\."
    r".*?(?: full_key: (\S+))?"
)
NOT_LOCATED = re.compile(r"Error locating target '([^']+)'(?: full_key: (\S+))?")

TARGET = "_target_"
FULL_KEY = "full_key: "  # how Hydra notes on an exception where in the config it comes from


def build(node: DictConfig, key: str, /, **arguments: Any) -> Any:
    """Call the node's `_target_` with its keys and `arguments`; lists and mappings arrive as plain Python.

    `key` is where the node is in the config, for the messages. Raises `ConfigError` if the target is not trusted, does
    not exist, does not take these arguments, or refuses their values. Any other exception of the target passes through.
    """
    built = _instantiated(node, key, arguments)
    if isinstance(built, functools.partial):
        _check_arguments(built, key)
    return built


def constructors_of(kind: type) -> Iterator[type]:
    """The classes whose `__init__` a keyword reaches: the first, and where it hands `**kwargs` on, also the next."""
    for each in kind.__mro__:
        if "__init__" not in vars(each):
            continue
        yield each
        if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(vars(each)["__init__"]).parameters.values()):
            return


def locate_target(node: DictConfig, key: str) -> Callable[..., Any]:
    """Return what the node's `_target_` names, without calling it. Raises what `build` raises."""
    factory = _instantiated(node, key, {"_partial_": True, "_recursive_": False})
    assert isinstance(factory, functools.partial)
    target: Callable[..., Any] = factory.func
    return target


def instantiate_all(nodes: DictConfig | None, key: str) -> list[Any]:
    """Build each entry of a group such as `callbacks`; an entry that was set to null is left out."""
    return [build(node, f"{key}.{name!s}") for name, node in (nodes or {}).items() if node is not None]


def _instantiated(node: DictConfig, key: str, arguments: dict[str, Any]) -> Any:
    try:
        return hydra.utils.instantiate(_plain(node), _convert_="all", **arguments)
    except ConfigError:
        raise
    except REFUSALS as error:
        raise ConfigError(_message(error, key)) from error
    except TypeError as error:
        if _comes_from_the_call_itself(error, target=str(node.get(TARGET))):
            raise ConfigError(_message(error, key)) from error
        raise
    except Exception as error:
        if type(error).__name__ == "MisconfigurationException":  # Lightning's; importing it would take seconds
            raise ConfigError(_message(error, key)) from error
        raise


def _plain(node: DictConfig) -> Any:
    """Return the node's values: Hydra copies all of the config that a node is in, which takes twice as long."""
    values: Any = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    if "${" in str(values):  # what was escaped must not be resolved again
        return node
    return {**values, TARGET: current_target(values[TARGET])} if TARGET in values else values


def _message(error: Exception, key: str) -> str:
    text = " ".join(str(error).split())
    if refused := NOT_TRUSTED.fullmatch(text):
        target, alias, within = refused.groups()
        return _not_trusted(target, alias, _full_key(key, within))
    module = _missing_module(error)
    if module and (lost := NOT_LOCATED.fullmatch(text)):
        return _not_located(lost.group(1), _full_key(key, lost.group(2)), module=module)
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith(FULL_KEY)]
    return f"{_full_key(key, notes[0].removeprefix(FULL_KEY) if notes else None)}: {text}"


def _full_key(key: str, within: str | None) -> str:
    """Join the key of a node and a key within it, which Hydra tells; it tells the whole key if it got the node."""
    return within if within and within.startswith(key) else f"{key}.{within}" if within else key


def _not_trusted(target: str, alias: str | None, key: str) -> str:
    told = f"'{alias}', which is '{target}' and" if alias else f"'{target}', which"
    entry = alias or f"{target.rpartition('.')[0]}.*"
    return (
        f"{key}.{TARGET} is {told} is not trusted: it is not on the whitelist of what a config may call. If you know"
        f" it, say {how_to_allow(entry)} in the environment."
    )


def _not_located(target: str, key: str, *, module: str) -> str:
    return (
        f"{key}.{TARGET} is '{target}', but Python finds no module '{module}'. Say where its file or folder is,"
        " PYTHONPATH=<the folder that holds it>, or install it."
    )


def _missing_module(error: BaseException | None) -> str | None:
    """The name of a module that is not there at all, if that is at the bottom of it."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name and "." not in error.name:
            return error.name
        error = error.__cause__ or error.__context__
    return None


def _check_arguments(partial: functools.partial[Any], key: str) -> None:
    """Check the keys of a `_partial_` node now, and not where it is called in the end."""
    try:
        inspect.signature(partial.func).bind_partial(*partial.args, **partial.keywords)
    except TypeError as error:
        raise ConfigError(f"{key}: {partial.func.__module__}.{partial.func.__qualname__} {error}") from error


def _comes_from_the_call_itself(error: TypeError, *, target: str) -> bool:
    """Whether the arguments did not fit the signature.

    Then the innermost frame is the caller's: Hydra's, or that of a decorator around the target.
    """
    called = hydra.utils.get_object(target)
    kinds = constructors_of(called) if isinstance(called, type) else ()
    if any(str(error).startswith(f"{kind.__qualname__}.__init__()") for kind in kinds):
        return True
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and str(traceback.tb_frame.f_globals.get("__name__")).startswith("hydra.")
