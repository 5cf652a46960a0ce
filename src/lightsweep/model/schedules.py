"""Schedules: factors of learning rate, weight decay or dropout by the share of the training that is done."""

import math
from collections.abc import Callable

import pytorch_lightning as L

from lightsweep.errors import ConfigError

# As in PyTorch's OneCycleLR. The rates are relative to the highest one.
WARM_UP_SHARE = 0.3
START = 1 / 25
END = 1e-4 / 25

Factor = Callable[[float], float]


def one_cycle(done: float) -> float:
    """Rise to 1 over 30 % of the training, then fall to almost 0 (Smith and Topin, 2018, arXiv:1708.07120)."""
    if done < WARM_UP_SHARE:
        return _cosine_between(START, 1.0, done / WARM_UP_SHARE)
    return _cosine_between(1.0, END, (done - WARM_UP_SHARE) / (1 - WARM_UP_SHARE))


def cosine(done: float) -> float:
    """Fall from 1 to 0 along half a cosine (Loshchilov and Hutter, 2017, arXiv:1608.03983)."""
    return _cosine_between(1.0, 0.0, done)


def coslog4(done: float) -> float:
    """Rise and fall four times, each time more slowly (RealMLP: Holzmueller et al., NeurIPS 2024, arXiv 2407.04491)."""
    return 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * min(done, 1.0))))


def flat_cosine(done: float) -> float:
    """Stay at 1 for half of the training, then fall to 0 (RealMLP, for dropout and weight decay)."""
    return _cosine_between(1.0, 0.0, max(0.0, 2 * done - 1))


SCHEDULES: dict[str, Factor | None] = {"none": None, "one_cycle": one_cycle, "cosine": cosine, "coslog4": coslog4}
FACTORS: dict[str, Factor | None] = {"constant": None, "flat_cosine": flat_cosine}  # of dropout and weight decay


def choose_schedule(trainer: L.Trainer, requested: str | None) -> str:
    """Return the requested schedule; without a request, "one_cycle" where that is possible, else "none".

    Raises `ConfigError` if the training can't have the requested one.
    """
    if requested == "none":
        return requested
    problem = None
    if trainer.lr_scheduler_configs:
        problem = "the module has a learning rate scheduler of its own"
    elif not 0 < trainer.estimated_stepping_batches < math.inf:  # Lightning gives -1 or infinity if it is unknown
        problem = "the number of training steps is unknown (no trainer.max_epochs, or a data loader without a length)"
    if problem is None:
        return requested or "one_cycle"
    if requested is not None:
        raise ConfigError(f"model.schedule is {requested}, but {problem}. Set model.schedule=none.")
    return "none"


def _cosine_between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
