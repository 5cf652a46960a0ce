"""torch's compiler, imported where something is compiled: until then it would be half of what Lightning takes to start.

Each optimizer imports it to keep its steps out of what is compiled, Lightning to tell a compiled module, and a trainer
to say that what is compiled shall be deterministic. All of it is answered here: before the compiler is there, nothing
is compiled.
"""

import functools
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch

from lightsweep.late_metas import import_metas
from lightsweep.late_modules import LateModule, spec_of_what_is_there

DYNAMO = "torch._dynamo"
INDUCTOR = "torch._inductor"
SETTINGS = (f"{INDUCTOR}.config", f"{INDUCTOR}.custom_graph_pass")  # need nothing else of the package
SET_BY_A_TRAINER = "deterministic"
KEPT = "__dynamo_disable"  # where torch keeps, at a function, what keeps it out of what is compiled


class _LatePackage(LateModule):
    """A package that is executed, in place, when more is asked of it than is answered here."""

    def __init__(self, spec: ModuleSpec, answers: dict[str, Any]) -> None:
        super().__init__(spec)
        vars(self).update(answers)
        self._answers = list(answers)
        self._to_catch_up: list[Callable[[], Any]] = []

    def import_it(self) -> None:
        import_metas()  # or it would come upon them in the middle of its own import
        to_catch_up = self._to_catch_up
        for name in (*self._answers, "_answers", "_to_catch_up"):
            del vars(self)[name]
        self.execute()
        for catch_up in to_catch_up:
            catch_up()


class _LateSettings(LateModule):
    """Keeps what each trainer sets: to know what else can be, torch parses the source code of the module."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__") or name == SET_BY_A_TRAINER:
            super().__setattr__(name, value)
            return
        self.import_it()
        setattr(self, name, value)

    def import_it(self) -> None:
        set_before = vars(self).pop(SET_BY_A_TRAINER, None)
        self.execute()
        if set_before is not None:
            setattr(self, SET_BY_A_TRAINER, set_before)


class _Finder(MetaPathFinder):
    """Executes a late package before one of its modules is imported, as the import itself would have done."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        package = sys.modules.get(".".join(fullname.split(".")[:2]))
        if not isinstance(package, _LatePackage) or fullname in SETTINGS:
            return None
        package.import_it()
        return spec_of_what_is_there(fullname)


class _Meta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return not is_late(DYNAMO) and isinstance(instance, torch._dynamo.OptimizedModule)


class OptimizedModule(metaclass=_Meta):
    """Tells a compiled module to those who asked for its type before the compiler was there."""


def _disable(fn: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Keep a function out of what is compiled, from when on there is a compiler."""
    dynamo: Any = torch._dynamo
    if not inspect.isfunction(fn):
        dynamo.import_it()
        return dynamo.disable(fn, *args, **kwargs)
    to_catch_up = dynamo._to_catch_up
    if kwargs == {"wrapping": False}:  # torch's own call, which keeps the answer at the function and asks once
        to_catch_up.append(lambda: vars(fn).pop(KEPT, None))
        return fn
    called: list[Callable[..., Any]] = [fn]
    to_catch_up.append(lambda: called.__setitem__(0, dynamo.disable(fn, *args, **kwargs)))
    return functools.wraps(fn)(lambda *args, **kwargs: called[0](*args, **kwargs))


def _graph_break(msg: str = "") -> None:
    """Nothing is compiled that could be broken up."""


def is_late(name: str) -> bool:
    return isinstance(sys.modules.get(name), _LatePackage)


def import_late() -> None:
    """Let the compiler wait until it is used, unless it is there already."""
    if DYNAMO in sys.modules or INDUCTOR in sys.modules:
        return
    answers = {"OptimizedModule": OptimizedModule, "disable": _disable, "graph_break": _graph_break}
    for name, answered in {DYNAMO: answers, INDUCTOR: {}}.items():
        if spec := importlib.util.find_spec(name):
            sys.modules[name] = _LatePackage(spec, answered)
            setattr(torch, name.rpartition(".")[2], sys.modules[name])
    if spec := importlib.util.find_spec(SETTINGS[0]):
        sys.modules[spec.name] = vars(sys.modules[INDUCTOR])["config"] = _LateSettings(spec)
    sys.meta_path.insert(0, _Finder())
