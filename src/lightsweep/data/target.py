"""The prediction target of a data set: its task, column names, class names and scaling."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightsweep.data.splits import Scaler
from lightsweep.task import Task


@dataclass(frozen=True, kw_only=True)
class Target:
    """Target columns, with the class name of each label or, for regression, the scaler of the training split.

    `weights` are those of the classes in the training loss, empty if all are 1.
    """

    task: Task
    names: tuple[str, ...]
    classes: tuple[bool | int | str, ...] = ()
    scaler: Scaler | None = None
    weights: tuple[float, ...] = ()

    @property
    def d_out(self) -> int:
        return len(self.names) if self.task.is_regression else len(self.classes)

    def to_record(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        scaler = self.scaler and {"mean": self.scaler.mean.tolist(), "std": self.scaler.std.tolist()}
        record = {"task": self.task.value, "names": [*self.names], "classes": [*self.classes], "scaler": scaler}
        return {**record, "weights": [*self.weights]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Target":
        """Read a record of `to_record`; raises `KeyError`, `TypeError` or `ValueError` if it is malformed."""
        scaler, weights = record["scaler"], record.get("weights", ())
        if len(weights) not in (0, len(record["classes"])) or not all(weight > 0 for weight in weights):
            raise ValueError(f"the class weights are {weights}")
        return cls(
            task=Task(record["task"]),
            names=tuple(map(str, record["names"])),
            classes=tuple(record["classes"]),
            scaler=scaler and Scaler(**{key: np.asarray(scaler[key], dtype=np.float64) for key in ("mean", "std")}),
            weights=tuple(map(float, weights)),
        )


def task_of(n_classes: int) -> Task:
    return Task.BINARY if n_classes == 2 else Task.MULTICLASS
