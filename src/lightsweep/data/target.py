"""The prediction target of a data set: its task, column names, class names and scaling."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightsweep.data.splits import Scaler
from lightsweep.task import Task


@dataclass(frozen=True, kw_only=True)
class Target:
    """Target columns, with the class name of each label or, for regression, the scaler of the training split."""

    task: Task
    names: tuple[str, ...]
    classes: tuple[int | str, ...] = ()
    scaler: Scaler | None = None

    @property
    def d_out(self) -> int:
        return len(self.names) if self.task.is_regression else len(self.classes)

    def to_record(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        scaler = self.scaler and {"mean": self.scaler.mean.tolist(), "std": self.scaler.std.tolist()}
        return {"task": self.task.value, "names": [*self.names], "classes": [*self.classes], "scaler": scaler}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Target":
        """Read a record of `to_record`; raises `KeyError`, `TypeError` or `ValueError` if it is malformed."""
        scaler = record["scaler"]
        return cls(
            task=Task(record["task"]),
            names=tuple(map(str, record["names"])),
            classes=tuple(record["classes"]),
            scaler=scaler and Scaler(**{key: np.asarray(scaler[key], dtype=np.float64) for key in ("mean", "std")}),
        )


def task_of(n_classes: int) -> Task:
    return Task.BINARY if n_classes == 2 else Task.MULTICLASS
