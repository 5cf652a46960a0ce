"""Instantiation of a config node by Hydra, with errors in terms of the config."""

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

USER_CAUSED = (InstantiationException, ValueError, ImportError)
# Hydra's messages to which more can be added. For an alias Hydra names the object behind it, too.
NOT_ALLOWED = re.compile(
    r"Target '([^']+\.[^']+)'(?: \(resolved from '([^']+)'\))? is not in the Hydra execution whitelist\."
    r".*?(?: full_key: (\S+))?"
)
NOT_LOCATED = re.compile(r"Error locating target '([^']+)'(?: full_key: (\S+))?")

TARGET = "_target_"
FULL_KEY = "full_key: "  # the prefix of Hydra's note on an exception with the key of the node


def build(node: DictConfig, key: str, /, **arguments: Any) -> Any:
    """Call the node's `_target_` with its keys and `arguments`; lists and mappings become plain Python.

    `key` is the path of the node in the config, for messages. Raise `ConfigError` if the target is not allowed, does
    not exist, does not take these arguments, or rejects their values. Other exceptions of the target pass through.
    """
    built = _instantiate(node, key, arguments)
    if isinstance(built, functools.partial):
        _check_arguments(built, key)
    return built


def instantiate_all(nodes: DictConfig | None, key: str) -> list[Any]:
    """Build each entry of a group such as `callbacks`, without the entries that are null."""
    return [build(node, f"{key}.{name!s}") for name, node in (nodes or {}).items() if node is not None]


def locate_target(node: DictConfig, key: str) -> Callable[..., Any]:
    """Return the object that the node's `_target_` names, without calling it. Raise the errors of `build`."""
    factory = _instantiate(node, key, {"_partial_": True, "_recursive_": False})
    assert isinstance(factory, functools.partial)
    target: Callable[..., Any] = factory.func
    return target


def constructors_of(kind: type) -> Iterator[type]:
    """Yield the classes whose `__init__` receives the keywords: the first, and the next ones through `**kwargs`."""
    for each in kind.__mro__:
        if "__init__" not in vars(each):
            continue
        yield each
        if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(vars(each)["__init__"]).parameters.values()):
            return


def _instantiate(node: DictConfig, key: str, arguments: dict[str, Any]) -> Any:
    try:
        return hydra.utils.instantiate(_plain(node), _convert_="all", **arguments)
    except ConfigError:
        raise
    except Exception as error:
        if (
            isinstance(error, USER_CAUSED)
            or (isinstance(error, TypeError) and _is_wrong_call(error, target=str(node.get(TARGET))))
            or type(error).__name__ == "MisconfigurationException"  # Lightning's; importing it would take seconds
        ):
            raise ConfigError(_message(error, key)) from error
        raise


def _plain(node: DictConfig) -> Any:
    """Return the node's values: of a node Hydra would copy the whole config around it, which doubles the time."""
    values: Any = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    if "${" in str(values):  # an escaped interpolation must not be resolved again
        return node
    return {**values, TARGET: current_target(values[TARGET])} if TARGET in values else values


def _is_wrong_call(error: TypeError, *, target: str) -> bool:
    """True if the arguments did not fit the target's signature.

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


def _check_arguments(partial: functools.partial[Any], key: str) -> None:
    """Check the keys of a `_partial_` node before its final call."""
    try:
        inspect.signature(partial.func).bind_partial(*partial.args, **partial.keywords)
    except TypeError as error:
        raise ConfigError(f"{key}: {partial.func.__module__}.{partial.func.__qualname__} {error}") from error


def _message(error: Exception, key: str) -> str:
    text = " ".join(str(error).split())
    if found := NOT_ALLOWED.fullmatch(text):
        target, alias, within = found.groups()
        return _not_allowed(target, alias, _full_key(key, within))
    module = _missing_module(error)
    if module and (found := NOT_LOCATED.fullmatch(text)):
        return (
            f"{_full_key(key, found[2])}.{TARGET} is '{found[1]}', but Python finds no module '{module}'. Set"
            " PYTHONPATH=<the folder that holds it>, or install it."
        )
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith(FULL_KEY)]
    return f"{_full_key(key, notes[0].removeprefix(FULL_KEY) if notes else None)}: {text}"


def _full_key(key: str, within: str | None) -> str:
    """Join the key of the node and Hydra's key, which is relative to the node unless Hydra got the node itself."""
    return within if within and within.startswith(key) else f"{key}.{within}" if within else key


def _not_allowed(target: str, alias: str | None, key: str) -> str:
    named = f"'{alias}', an alias of '{target}'" if alias else f"'{target}'"
    entry = alias or f"{target.rpartition('.')[0]}.*"
    return (
        f"{key}.{TARGET} is {named}, which is not on the allowlist of targets. If you trust it, set"
        f" {how_to_allow(entry)} in the environment."
    )


def _missing_module(error: BaseException | None) -> str | None:
    """Return the name of the top-level module that does not exist, if that caused the error."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name and "." not in error.name:
            return error.name
        error = error.__cause__ or error.__context__
    return None
