"""Lightning, imported more than a second faster: without what torchmetrics loads and nobody uses here.

It would load all of `scipy.signal` to give it back an old name, and Matplotlib for the types of its plots. And a value
is logged in half the time, and what a function takes is looked up once, not at every training.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

from lightsweep.late_modules import places_without_text
from lightsweep.stand_ins import StandIn, standing_in

with places_without_text():
    from lightsweep.late_compiler import import_late


@contextlib.contextmanager
def _style(*names: Any, **options: Any) -> Iterator[None]:
    from matplotlib import pyplot as plt

    with plt.style.context(*names, **options):
        yield


AXES = StandIn("matplotlib.axes", Axes=object)
PYPLOT = StandIn("matplotlib.pyplot", Figure=object, style=SimpleNamespace(context=_style))
COLORS = SimpleNamespace(Colormap=object)
MATPLOTLIB = StandIn("matplotlib", axes=AXES, pyplot=PYPLOT, colors=COLORS)

import_late()
with standing_in(StandIn("scipy.signal", hamming=None)), standing_in(MATPLOTLIB, AXES, PYPLOT):
    import pytorch_lightning as L
    import torchmetrics
    from lightning_utilities.core.enums import StrEnum
    from pytorch_lightning.loops import utilities as loop_utilities
    from pytorch_lightning.trainer.connectors.logger_connector.result import _ResultMetric
    from pytorch_lightning.utilities import argparse, signature_utils


def _once(look: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Look at each function and class once, as long as it is there, also as a method of ever new objects."""
    known: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()

    def looked_up(asked: Any) -> Any:
        function = getattr(asked, "__func__", asked)
        if not isinstance(function, FunctionType | type):
            return look(asked)
        answers = known.setdefault(function, {})
        key = hasattr(asked, "__self__"), getattr(function, "__code__", None)
        if key not in answers:
            answers[key] = look(asked)
        return answers[key]

    return looked_up


def _look_once(module: ModuleType, name: str) -> None:
    vars(module)["inspect"] = SimpleNamespace(**{**vars(inspect), name: _once(getattr(inspect, name))})


_look_once(argparse, "signature")
_look_once(signature_utils, "getfullargspec")
_look_once(loop_utilities, "signature")
_look_once(torchmetrics.metric, "signature")

_move = _ResultMetric.to


def _to(self: _ResultMetric, device: Any, *args: Any, **kwargs: Any) -> _ResultMetric:
    """Move the sums of a logged value, unless they are there: Lightning does so at each `log`, and copies a lot."""
    sums = [getattr(self, name) for name in self._defaults]
    if sums and not args and not kwargs and all(each.device == device for each in sums):
        return self
    return _move(self, device, *args, **kwargs)


setattr(_ResultMetric, "to", _to)  # noqa: B010

_equals = StrEnum.__eq__


def _is(self: StrEnum, other: object) -> bool:
    """As theirs, which compares the texts of two members of an enumeration: a hundred times per epoch its own."""
    return self is other if type(self) is type(other) else _equals(self, other)


setattr(StrEnum, "__eq__", _is)  # noqa: B010

__all__ = ["L"]
