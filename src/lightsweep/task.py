"""What is to be predicted."""

from enum import StrEnum


class Task(StrEnum):
    """Binary is two classes, with a logit for each."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"

    @property
    def is_regression(self) -> bool:
        return self is Task.REGRESSION
