"""Lightning, imported more than a second faster: without what torchmetrics loads and nobody uses here.

It would load all of `scipy.signal` to give it back an old name, and Matplotlib for the types of its plots.
"""

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from lightsweep.stand_ins import StandIn, standing_in


@contextlib.contextmanager
def _style(*names: Any, **options: Any) -> Iterator[None]:
    from matplotlib import pyplot as plt

    with plt.style.context(*names, **options):
        yield


AXES = StandIn("matplotlib.axes", Axes=object)
PYPLOT = StandIn("matplotlib.pyplot", Figure=object, style=SimpleNamespace(context=_style))
COLORS = SimpleNamespace(Colormap=object)
MATPLOTLIB = StandIn("matplotlib", axes=AXES, pyplot=PYPLOT, colors=COLORS)

with standing_in(StandIn("scipy.signal", hamming=None)), standing_in(MATPLOTLIB, AXES, PYPLOT):
    import pytorch_lightning as L

__all__ = ["L"]
