"""The target columns of a table: the task that they imply, and their values as labels or numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from lightsweep.data.table.kinds import HALF, MOST, are_codes, check_format, check_not_mixed, date_format_of
from lightsweep.data.table.source import Table
from lightsweep.data.table.values import (
    MISSING_LEVEL,
    RowLocator,
    is_date_type,
    is_text_type,
    to_floats,
    to_level,
    to_texts,
)
from lightsweep.data.target import Target, task_of
from lightsweep.errors import ConfigError
from lightsweep.task import Task

MAX_INTEGER_CLASSES = 20  # a target with more whole numbers is a regression
MAX_LISTED = 10
AS_CLASSES = "set data.task=multiclass"


def target_names(target: Any, columns: Sequence[str], *, table: str) -> tuple[str, ...]:
    """Return the columns that `data.target` selects by name, by index (negative from the end), or as a list of them.

    Raises `ConfigError` if a column does not exist or is selected twice.
    """
    selected = target if isinstance(target, list) else [target]
    if not selected:
        raise ConfigError("data.target is null; it must name a column, or a list of columns.")
    names = tuple(_target_name(one, columns, table=table) for one in selected)
    if len(set(names)) < len(names):
        raise ConfigError(f"data.target is {target}; it names a column twice.")
    return names


def _target_name(selected: Any, columns: Sequence[str], *, table: str) -> str:
    if str(selected) in columns:
        return str(selected)
    if isinstance(selected, int) and -len(columns) <= selected < len(columns):
        return columns[selected]
    listed = ", ".join(columns[:MAX_LISTED]) + (", ..." if len(columns) > MAX_LISTED else "")
    raise ConfigError(f"data.target is '{selected}', but {table} has no such column. It has: {listed}.")


def find_target(tables: Sequence[Table], *, names: tuple[str, ...], task: Task | None) -> Target:
    """Return the task and the classes of the target columns in all tables, without a scaler.

    Raises `ConfigError` if the values do not fit the task.
    """
    if task is Task.REGRESSION or (task is None and len(names) > 1):
        return Target(task=Task.REGRESSION, names=names)
    if len(names) > 1:
        raise ConfigError(
            f"data.task is {task}, but data.target names {len(names)} columns; only regression has several."
        )
    levels = _levels(tables, names[0], infers_task=task is None)
    if task is None and _is_quantity(levels):
        return Target(task=Task.REGRESSION, names=names)
    classes = _classes(levels)
    if len(classes) < 2:
        raise _too_few_classes(classes, column=names[0], table=tables[0].name)
    if task is Task.BINARY and len(classes) > 2:
        raise ConfigError(
            f"data.task is binary, but {tables[0].name}, column '{names[0]}' has {len(classes)} classes:"
            f" {', '.join(map(str, classes[:MAX_LISTED]))}. Set data.task=multiclass."
        )
    return Target(task=task or task_of(len(classes)), names=names, classes=classes)


def encode(table: Table, target: Target) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return labels `(n,)` or unscaled values `(n, n_targets)`, and a mask of the rows without a target."""
    if target.task.is_regression:
        columns = [to_floats(table.values(name), name=name, where=table.location) for name in target.names]
        y = np.column_stack(columns)
        return y, np.asarray(np.isnan(y).any(axis=1))
    texts = pd.Index(to_texts(table.values(target.names[0])))
    labels = pd.Index([str(name) for name in target.classes]).get_indexer(texts).astype(np.int64)
    return labels, labels < 0


def _levels(tables: Sequence[Table], name: str, *, infers_task: bool) -> list[Any]:
    """Return the sorted levels of a column in all tables, numbers first."""
    levels: set[Any] = set()
    for table in tables:
        values = table.values(name)
        if infers_task:
            _check_implies_task(values, name=name, where=table.location)
        levels.update(to_level(level) for level in values.unique().drop_null().to_pylist())
    return sorted(levels - {MISSING_LEVEL}, key=lambda level: (isinstance(level, str), level))


def _check_implies_task(values: pa.Array, *, name: str, where: RowLocator) -> None:
    """Raise `ConfigError` if the target could be a quantity or dates in text, so that its task is unclear."""
    is_text, many = is_text_type(values.type), len(values.unique()) > MAX_INTEGER_CLASSES
    if is_text:
        check_not_mixed(values, name=name, where=where, remedy=AS_CLASSES, threshold=HALF if many else MOST)
    if not many:
        return
    is_text_of_dates = is_text and not are_codes(values.drop_null()) and date_format_of(values) is not None
    if is_date_type(values.type) or is_text_of_dates:
        raise ConfigError(
            f"{where(0)}, column '{name}' holds dates, which can't be predicted. Choose another data.target, or write"
            f" them as numbers, such as days; if each of them is a class, {AS_CLASSES}."
        )
    if is_text:
        check_format(values, name=name, where=where, remedy=AS_CLASSES)


def _is_quantity(levels: Sequence[Any]) -> bool:
    if any(isinstance(level, str) for level in levels):
        return False
    return len(levels) > MAX_INTEGER_CLASSES or any(isinstance(level, float) for level in levels)


def _classes(levels: Sequence[Any]) -> tuple[int | str, ...]:
    """Return integers, or unique texts: a class may be a number in one file and a text in another."""
    return tuple(levels) if all(isinstance(level, int) for level in levels) else tuple(dict.fromkeys(map(str, levels)))


def _too_few_classes(classes: Sequence[int | str], *, column: str, table: str) -> ConfigError:
    content = f"every row is '{classes[0]}'" if classes else "every cell is missing"
    message = f"{table}, column '{column}' has fewer than two classes: {content}. Choose another data.target"
    if any(isinstance(name, int) for name in classes):
        message += f", or, if {classes[0]} and 0{classes[0]} are two classes, set data.kinds={{{column}:category}}"
    return ConfigError(f"{message}.")
