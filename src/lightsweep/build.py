"""From a config node to the object that it names, with errors that the writer of the config can read."""

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import hydra.utils
from hydra._internal.execution_policy import _get_active_execution_whitelist
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from lightsweep.errors import ConfigError
from lightsweep.trust import way_to_trust

REFUSALS = (InstantiationException, ValueError, ImportError)
# What Hydra says, as far as more can be said; an alias is refused for the object behind it.
NOT_TRUSTED = re.compile(
    r"Target '([^']+\.[^']+)'(?: \(resolved from '([^']+)'\))? is not in the Hydra execution whitelist\."
    r".*?(?: full_key: (\S+))?"
)
NOT_LOCATED = re.compile(r"Error locating target '([^']+)'(?: full_key: (\S+))?")

TARGET, PARTIAL = "_target_", "_partial_"
OURS = {TARGET: str, PARTIAL: bool}  # of Hydra's words, those that are read here
FULL_KEY = "full_key: "  # how Hydra notes on an exception where in the config it comes from

Factory = Callable[..., Any]


def build(node: DictConfig, **kwargs: Any) -> Any:
    """Call the node's `_target_` with its keys and `kwargs`; lists and mappings arrive as plain Python.

    Raises `ConfigError` if the target is not trusted, does not exist, does not take these arguments, or refuses
    their values. Any other exception of the target passes through.
    """
    try:
        built = _made(node, kwargs)
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


def constructors_of(kind: type) -> Iterator[type]:
    """The classes whose `__init__` a keyword reaches: the first, and where it hands `**kwargs` on, also the next."""
    for each in kind.__mro__:
        if "__init__" not in vars(each):
            continue
        yield each
        if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(vars(each)["__init__"]).parameters.values()):
            return


def target_of(node: DictConfig) -> Factory:
    """What the node's `_target_` names, looked up by the rules of what may be called. Raises what `build` raises."""
    asked = {TARGET: node[TARGET], PARTIAL: True}
    factories = _factories(asked) if _is_plain(asked) else None
    factory = factories[asked[TARGET]] if factories else build(_alone(asked, node._get_full_key(None)))
    assert isinstance(factory, functools.partial)
    return factory.func


def build_all(nodes: DictConfig | None) -> list[Any]:
    """Build each entry of a group such as `callbacks`; an entry that was set to null is left out."""
    return [build(node) for node in (nodes or {}).values() if node is not None]


def _made(node: DictConfig, kwargs: dict[str, Any]) -> Any:
    """What `hydra.utils.instantiate` makes of a node, in a fifth of the time where the node is as plain as most are.

    Hydra copies the config for each call. What it authorizes is the same either way: the targets here, the arguments
    and the results where its deferred targets are called.
    """
    values: Any = OmegaConf.to_container(node, resolve=True)
    key = node._get_full_key(None)
    if isinstance(values, dict) and _is_plain(values) and not any(map(_may_hold_config, kwargs.values())):
        factories = _factories(values)
        if factories is not None:
            return _call({**values, **kwargs}, key, factories)
    source = node if _holds_dollar(values) else _alone(values, key)  # what was escaped must not be resolved again
    return hydra.utils.instantiate(source, _convert_="all", **kwargs)


def _is_plain(values: Any) -> bool:
    """Whether there is nothing in it that Hydra takes for more than a target, a mapping, a list or a value."""
    if isinstance(values, dict):
        return (TARGET in values or PARTIAL not in values) and all(
            isinstance(name, str)
            and (not _is_reserved(name) or isinstance(value, OURS.get(name, ())))
            and _is_plain(value)
            for name, value in values.items()
        )
    if isinstance(values, list):
        return all(map(_is_plain, values))
    return values is None or isinstance(values, bool | int | float) or (isinstance(values, str) and _is_text(values))


def _is_text(value: str) -> bool:
    return value != "???" and "${" not in value


def _may_hold_config(value: Any) -> bool:
    """Whether Hydra may find something to build, or to resolve, in what is given beside the node."""
    if isinstance(value, list | tuple):
        return any(map(_may_hold_config, value))
    if isinstance(value, str):
        return not _is_text(value)
    return isinstance(value, dict) or OmegaConf.is_config(value)


def _is_reserved(name: str) -> bool:
    return name.startswith("_") and name.endswith("_")


def _factories(values: dict[str, Any]) -> dict[str, Factory] | None:
    """The targets in it; None if Hydra refuses one, which it then says better with the config at hand."""
    whitelist = _get_active_execution_whitelist()
    try:
        return {target: _factory(target, whitelist) for target in _targets(values)}
    except Exception:  # noqa: BLE001  (an import may raise anything)
        return None


def _targets(values: Any) -> Iterator[str]:
    if isinstance(values, dict):
        if TARGET in values:
            yield values[TARGET]
        values = list(values.values())
    if isinstance(values, list):
        for value in values:
            yield from _targets(value)


@functools.lru_cache(maxsize=256)
def _factory(target: str, whitelist: Any) -> Factory:
    """The target, authorized by the whitelist that is active; each call of it goes through Hydra's checks again."""
    factory: Factory = hydra.utils.instantiate({TARGET: target, "_partial_": True})
    return factory


def _call(values: Any, key: str, factories: dict[str, Factory]) -> Any:
    if isinstance(values, list):
        return [_call(value, f"{key}[{index}]", factories) for index, value in enumerate(values)]
    if not isinstance(values, dict):
        return values
    arguments = {
        name: _call(value, f"{key}.{name}" if key else name, factories)
        for name, value in values.items()
        if name not in OURS
    }
    if TARGET not in values:
        return arguments
    factory = factories[values[TARGET]]
    if values.get(PARTIAL):
        return _with_arguments(factory, arguments, key)
    try:
        return factory(**arguments)
    except Exception as error:
        if key and not any(note.startswith(FULL_KEY) for note in getattr(error, "__notes__", ())):
            error.add_note(f"{FULL_KEY}{key}")  # as Hydra does
        raise


def _with_arguments(factory: Factory, arguments: dict[str, Any], key: str) -> Factory:
    """What Hydra makes of a `_partial_` node: a factory is one without arguments."""
    assert isinstance(factory, functools.partial)
    made = type(factory)(factory.func, **arguments)
    vars(made).update(vars(factory), _hydra_full_key=key)
    return made


def _alone(values: Any, key: str) -> DictConfig:
    """The node alone in a config of its own, at its place there: Hydra copies the whole config that a node is in."""
    if not key:
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
    if refused := NOT_TRUSTED.fullmatch(text):
        return _not_trusted(*refused.groups())
    module = _missing_module(error)
    if module and (lost := NOT_LOCATED.fullmatch(text)):
        return _not_located(*lost.groups(), module=module)
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith(FULL_KEY)]
    return f"{notes[0].removeprefix(FULL_KEY)}: {text}" if notes else text


def _not_trusted(target: str, alias: str | None, key: str | None) -> str:
    told = f"'{alias}', which is '{target}' and" if alias else f"'{target}', which"
    entry = alias or f"{target.rpartition('.')[0]}.*"
    return (
        f"{_target_in(key)} is {told} is not trusted: it is not on the whitelist of what a config may call. If you know"
        f" it, say {way_to_trust(entry)} in the environment."
    )


def _not_located(target: str, key: str | None, *, module: str) -> str:
    return (
        f"{_target_in(key)} is '{target}', but Python finds no module '{module}'. Say where its file or folder is,"
        " PYTHONPATH=<the folder that holds it>, or install it."
    )


def _target_in(key: str | None) -> str:
    return f"{key}.{TARGET}" if key else TARGET


def _missing_module(error: BaseException | None) -> str | None:
    """The name of a module that is not there at all, if that is at the bottom of it."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name and "." not in error.name:
            return error.name
        error = error.__cause__ or error.__context__
    return None


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
    called = hydra.utils.get_object(target)
    kinds = constructors_of(called) if isinstance(called, type) else ()
    if any(str(error).startswith(f"{kind.__qualname__}.__init__()") for kind in kinds):
        return True
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and str(traceback.tb_frame.f_globals.get("__name__")).startswith("hydra.")
