"""Lightning, imported a second faster: torchmetrics would load all of `scipy.signal` to give it back an old name."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import scipy

SIGNAL = "scipy.signal"


class _StandIn(ModuleType):
    """Has what torchmetrics looks for, and makes way for the real module if anything else is asked of it."""

    hamming = None

    def leave(self) -> None:
        if sys.modules.get(SIGNAL) is self:
            del sys.modules[SIGNAL], vars(scipy)["signal"]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.leave()
        return getattr(importlib.import_module(SIGNAL), name)


@contextlib.contextmanager
def _without_scipy_signal() -> Iterator[None]:
    if SIGNAL in sys.modules:
        yield
        return
    stand_in = _StandIn(SIGNAL)
    sys.modules[SIGNAL] = vars(scipy)["signal"] = stand_in
    try:
        yield
    finally:
        stand_in.leave()


with _without_scipy_signal():
    import pytorch_lightning as L

__all__ = ["L"]
