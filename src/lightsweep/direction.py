"""The direction of the monitored metric, which the config states once."""

from typing import Literal

Direction = Literal["maximize", "minimize"]


def is_better(value: float, than: float | None, *, direction: Direction) -> bool:
    """True if a finite value improves on the best so far. Ties keep the earlier value, as in Lightning."""
    if than is None:
        return True
    return value > than if direction == "maximize" else value < than


def lightning_mode(direction: Direction) -> str:
    return "max" if direction == "maximize" else "min"
