"""Lightning, imported a second faster: torchmetrics would load all of `scipy.signal` to give it back an old name."""

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType

import scipy

SIGNAL = "scipy.signal"


@contextlib.contextmanager
def _without_scipy_signal() -> Iterator[None]:
    if SIGNAL in sys.modules:
        yield
        return
    stand_in = ModuleType(SIGNAL)
    vars(stand_in)["hamming"] = None
    sys.modules[SIGNAL] = vars(scipy)["signal"] = stand_in
    try:
        yield
    finally:
        del sys.modules[SIGNAL], vars(scipy)["signal"]  # SciPy loads the real one for whoever asks


with _without_scipy_signal():
    import pytorch_lightning as L

__all__ = ["L"]
