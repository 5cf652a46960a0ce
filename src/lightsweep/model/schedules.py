"""Learning rates over a training, as functions of the share that is done."""

import math
from collections.abc import Callable

WARM_UP = 0.3  # of a one-cycle schedule
START = 1 / 25
END = 1e-4 / 25  # as PyTorch's OneCycleLR: both of the highest

Factor = Callable[[float], float]


def one_cycle(done: float) -> float:
    """Up for three tenths of the training, then down to next to nothing (Smith and Topin, 2018, arXiv:1708.07120)."""
    if done < WARM_UP:
        return _between(START, 1.0, done / WARM_UP)
    return _between(1.0, END, (done - WARM_UP) / (1 - WARM_UP))


def cosine(done: float) -> float:
    """Down to nothing along half a cosine (Loshchilov and Hutter, 2017, arXiv:1608.03983)."""
    return _between(1.0, 0.0, done)


SCHEDULES: dict[str, Factor | None] = {"none": None, "one_cycle": one_cycle, "cosine": cosine}


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
