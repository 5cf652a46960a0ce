"""The direction of the monitored metric, stated once in the config and read by everything that compares."""

from typing import Literal

Direction = Literal["maximize", "minimize"]


def is_better(value: float, than: float | None, *, direction: Direction) -> bool:
    """Whether a finite value improves on the best so far; a tie keeps the earlier one, as Lightning does."""
    if than is None:
        return True
    return value > than if direction == "maximize" else value < than


def lightning_mode(direction: Direction) -> str:
    return "max" if direction == "maximize" else "min"
