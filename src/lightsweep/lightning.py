"""Lightning, imported a second and a half faster: without what it and its own imports load but don't use here.

torchmetrics would load `scipy.signal` to give it back an old name, and Matplotlib for the types of its plots; torch
would load its sharding, which it can do without where a model is on one device.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import scipy


class _StandIn(ModuleType):
    """Has what is looked for, and makes way for the real module if anything else is asked of it."""

    def __init__(self, name: str, **there: Any) -> None:
        super().__init__(name)
        vars(self).update(there)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _leave()
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def _style(*names: Any, **options: Any) -> Iterator[None]:
    from matplotlib import pyplot as plt

    with plt.style.context(*names, **options):
        yield


def _stand_ins() -> list[_StandIn]:
    axes = _StandIn("matplotlib.axes", Axes=object)
    pyplot = _StandIn("matplotlib.pyplot", Figure=object, style=SimpleNamespace(context=_style))
    colors = SimpleNamespace(Colormap=object)
    matplotlib = _StandIn("matplotlib", axes=axes, pyplot=pyplot, colors=colors)
    of_matplotlib = [] if "matplotlib" in sys.modules else [matplotlib, axes, pyplot]
    of_scipy = [] if "scipy.signal" in sys.modules else [_StandIn("scipy.signal", hamming=None)]
    return of_matplotlib + of_scipy


def _leave() -> None:
    """Take the stand-ins out again; torchmetrics keeps its own, which ask the real modules from now on."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, _StandIn):
            del sys.modules[name]
    if isinstance(vars(scipy).get("signal"), _StandIn):
        del vars(scipy)["signal"]


@contextlib.contextmanager
def _with_stand_ins() -> Iterator[None]:
    for stand_in in _stand_ins():
        sys.modules[stand_in.__name__] = stand_in
        if stand_in.__name__ == "scipy.signal":
            vars(scipy)["signal"] = stand_in
    try:
        yield
    finally:
        _leave()


with _with_stand_ins():
    import pytorch_lightning as L

__all__ = ["L"]
