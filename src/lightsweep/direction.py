"""The objectives as the config states them: one monitored metric or several, each with its direction."""

from collections.abc import Sequence
from typing import Any, Literal

Direction = Literal["maximize", "minimize"]
DIRECTIONS: tuple[Direction, ...] = ("maximize", "minimize")
Monitor = str | Sequence[str]  # the name of a metric, or of several
Directions = Direction | Sequence[Direction]

N_PARAMS = "model/n_params"  # the number of weights, an objective that no validation logs
BEST_OF_FIRST, KNEE = "best_of_first", "knee"  # the values of `ship`


def is_better(value: float, than: float | None, *, direction: Direction) -> bool:
    """True if a finite value improves on the best so far. Ties keep the earlier value, as in Lightning."""
    if than is None:
        return True
    return value > than if direction == "maximize" else value < than


def lightning_mode(direction: Direction) -> str:
    return "max" if direction == "maximize" else "min"


def listed(value: Any) -> list[Any]:
    """Return a list as it is and any other value as a list of one: `monitor` and `direction` may be either."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def written(values: Sequence[str | None]) -> str:
    """Return the values as the command line takes them: `maximize`, or `[maximize,minimize]`."""
    texts = ["null" if value is None else value for value in values]
    return texts[0] if len(texts) == 1 else f"[{','.join(texts)}]"


def objective_text(value: float) -> str:
    """Return the value of an objective as people read it: 0.9612, or 52,362 for a number of weights."""
    return f"{value:,.0f}" if abs(value) >= 10 and float(value).is_integer() else f"{value:.4f}"
