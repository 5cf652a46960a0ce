"""Classes that have too few rows to learn from and to judge."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from lightsweep.data.target import Target, task_of
from lightsweep.errors import ConfigError
from lightsweep.task import Task

OTHER = "other"

Labels = npt.NDArray[Any]


class RareClassPolicy(StrEnum):
    REFUSE = "refuse"
    DROP = "drop"
    OTHER = "other"

    @property
    def remedy(self) -> str:
        """What else to do about a class that has too few rows in spite of it; it follows a sentence."""
        others = {RareClassPolicy.REFUSE: "drop or other", RareClassPolicy.OTHER: "drop"}
        return f", or set data.rare_classes={others[self]}" if self in others else ""


def handle_rare_classes(
    y: Sequence[Labels], target: Target, *, minimum: int, how: RareClassPolicy, counted: Sequence[Labels] | None = None
) -> tuple[list[Labels], Target, str]:
    """Drop classes of fewer than `minimum` rows, or make them one class "other".

    `y` has the labels of each table, -1 for rows that are not used; `counted` is what is counted in place of it. Return
    labels, target, and a sentence for the overview if something changed. Raises `ConfigError` if fewer than two classes
    are left.
    """
    n_rows = _rows_per_class(y if counted is None else counted, target)
    is_rare = n_rows < minimum
    if how is RareClassPolicy.REFUSE or not is_rare.any():
        return [*y], target, ""
    label_of, classes = _relabel(target.classes, is_rare, how=how)
    if len(classes) < 2:
        raise ConfigError(
            f"data.rare_classes is {how}, which leaves one class of '{target.names[0]}'. Give more rows of others."
        )
    n_changed = int(_rows_per_class(y, target)[is_rare].sum())
    becomes = "are left out" if how is RareClassPolicy.DROP else f"are the class '{OTHER}'"
    note = f"{is_rare.sum()} rare classes with {n_changed} rows {becomes}"
    changed = replace(target, classes=classes, task=_task(target, n_classes=len(classes)))
    return [label_of[labels] for labels in y], changed, note


def _rows_per_class(y: Sequence[Labels], target: Target) -> Labels:
    labels = [one[one >= 0] for one in y] if target.classes else []
    return np.bincount(np.concatenate(labels), minlength=len(target.classes)) if labels else np.empty(0)


def _relabel(
    classes: Sequence[bool | int | str], is_rare: npt.NDArray[np.bool_], *, how: RareClassPolicy
) -> tuple[Labels, tuple[bool | int | str, ...]]:
    """Return the new label of each label, and the new classes."""
    label_of = np.full(len(classes) + 1, -1, dtype=np.int64)  # the last entry is that of the label -1
    label_of[:-1][~is_rare] = np.arange((~is_rare).sum())
    kept = [name for name, rare in zip(classes, is_rare, strict=True) if not rare]
    if how is RareClassPolicy.DROP:
        return label_of, tuple(kept)
    names = [str(name) for name in kept]
    names = names if OTHER in names else [*names, OTHER]
    label_of[:-1][is_rare] = names.index(OTHER)
    return label_of, tuple(names)


def _task(target: Target, *, n_classes: int) -> Task:
    """Return binary for two classes that are left of many, unless the user set the task."""
    return task_of(n_classes) if target.task is task_of(len(target.classes)) else target.task
