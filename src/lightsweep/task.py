"""The kind of prediction that a data set asks for."""

from enum import StrEnum


class Task(StrEnum):
    """A binary task has two classes, with one logit for each."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"

    @property
    def is_regression(self) -> bool:
        return self is Task.REGRESSION
