"""Modules that a library imports without using them here, replaced while it is imported, and not lost to anybody."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any


class StandIn(ModuleType):
    """Has what is asked of the module during the import; later, or if more is asked, it asks the real one."""

    def __init__(self, name: str, **there: Any) -> None:
        super().__init__(name)
        self._there = there
        vars(self).update(there)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.leave()
        return getattr(importlib.import_module(self.__name__), name)

    def leave(self) -> None:
        if sys.modules.get(self.__name__) is not self:
            return
        del sys.modules[self.__name__]
        for name, value in self._there.items():
            del vars(self)[name]
            if isinstance(value, StandIn):
                value.leave()


@contextlib.contextmanager
def standing_in(module: StandIn, *submodules: StandIn) -> Iterator[None]:
    """Put them in the place of the real ones, unless the module is there already."""
    if module.__name__ in sys.modules:
        yield
        return
    stand_ins = (module, *submodules)
    sys.modules.update({each.__name__: each for each in stand_ins})
    try:
        yield
    finally:
        for each in stand_ins:
            each.leave()
