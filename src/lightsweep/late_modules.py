"""What it takes to import torch in less time, and some of its modules late."""

import contextlib
import inspect
import signal
import sys
import threading
from abc import abstractmethod
from collections.abc import Iterator
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MAY_RAISE = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


@contextlib.contextmanager
def places_without_text() -> Iterator[None]:
    """Let torch note where each operator is defined, and not look in all modules for the text of that line."""
    getframeinfo = inspect.getframeinfo
    inspect.getframeinfo = lambda frame, context=0: getframeinfo(frame, context)
    try:
        yield
    finally:
        inspect.getframeinfo = getframeinfo


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let signals wait: a module of which half is there can't be imported again, and the process may go on."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python calls no handler here
        return
    came: list[int] = []
    previous = {each: signal.signal(each, lambda signum, _: came.append(signum)) for each in MAY_RAISE}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)
        for signum in came:
            signal.raise_signal(signum)


class LateModule(ModuleType):
    """Is in the place of a module until something is asked of it."""

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(spec.name)
        vars(self).update(__spec__=spec, __loader__=spec.loader, __package__=spec.parent, __file__=spec.origin)
        if spec.submodule_search_locations is not None:
            vars(self).update(__path__=spec.submodule_search_locations)

    @abstractmethod
    def import_it(self) -> None:
        """Have the module itself in its place."""

    def execute(self) -> None:
        """Make this object the module: those who have it need no other."""
        loader = self.__loader__
        assert isinstance(loader, Loader)
        self.__class__ = ModuleType  # type: ignore[assignment]
        with _undisturbed():
            loader.exec_module(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.import_it()
        return getattr(sys.modules[self.__name__], name)


def spec_of_what_is_there(fullname: str) -> ModuleSpec | None:
    """By which an import takes the module that was imported while it looked for it; None if that was not imported."""
    there = sys.modules.get(fullname)
    if there is None:
        return None
    spec = ModuleSpec(fullname, _AlreadyThere(there))
    vars(there)["__spec__"] = spec  # torch's settings refuse an assignment
    return spec


class _AlreadyThere(Loader):
    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__spec__"] = self._spec
