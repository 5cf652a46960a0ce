"""The target columns of a table: which task they pose, and their cells as labels or values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from lightsweep.data.table.columns import (
    MOSTLY,
    NEARLY,
    cells_of,
    date_format_of,
    is_code,
    refuse_mixed,
    refuse_nearly_numbers,
)
from lightsweep.data.table.values import (
    MISSING_LEVEL,
    Where,
    is_date_type,
    is_text_type,
    numbers_of,
    plain,
    refuse_nested,
    texts_of,
)
from lightsweep.data.target import Target, task_of
from lightsweep.errors import ConfigError
from lightsweep.task import Task

MAX_NUMBERED_CLASSES = 20  # more whole numbers than that are taken for a quantity
SHOWN = 10
AS_CLASSES = "say data.task=multiclass"


@dataclass(frozen=True)
class Table:
    """A frame, its name, how to say where a row of it is, and its target columns if `data.target` is null.

    `left_out` has what was there and is no column of the frame, with the reason; `missing` the cells that are missing.
    """

    name: str
    frame: pd.DataFrame
    where: Where
    targets: Sequence[str] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] | None = None

    def at(self, i: int) -> str:
        return self.where(int(self.frame.index[i]))

    def cells(self, name: str) -> pa.Array:
        """Raises `ConfigError` if they are such that they can be no target, and say nothing of a split."""
        cells = cells_of(self.frame[name], self.missing)
        refuse_nested(cells, name=name, where=self.at, remedy="Choose another column.")
        return cells


def target_names(target: Any, columns: Sequence[str], *, table: str) -> tuple[str, ...]:
    """The columns that `data.target` means by name, by index (from 0, or from the end below 0), or as a list of such.

    Raises `ConfigError` if one is not there.
    """
    wanted = target if isinstance(target, list) else [target]
    if not wanted:
        raise ConfigError("data.target is null; it must name a column, or a list of columns.")
    names = tuple(_name_of(one, columns, table=table) for one in wanted)
    if len(set(names)) < len(names):
        raise ConfigError(f"data.target is {target}; it names a column twice.")
    return names


def _name_of(wanted: Any, columns: Sequence[str], *, table: str) -> str:
    if str(wanted) in columns:
        return str(wanted)
    if isinstance(wanted, int) and -len(columns) <= wanted < len(columns):
        return columns[wanted]
    listed = ", ".join(columns[:SHOWN]) + (", ..." if len(columns) > SHOWN else "")
    raise ConfigError(f"data.target is '{wanted}', but {table} has no such column. It has: {listed}.")


def find_target(tables: Sequence[Table], *, names: tuple[str, ...], task: Task | None) -> Target:
    """The task and the classes that these columns hold in all tables; a scaler is not known before the split.

    Raises `ConfigError` if the cells do not fit the task.
    """
    if task is Task.REGRESSION or (task is None and len(names) > 1):
        return Target(task=Task.REGRESSION, names=names)
    if len(names) > 1:
        raise ConfigError(
            f"data.task is {task}, but data.target names {len(names)} columns; only regression has several."
        )
    levels = _levels(tables, names[0], to_find=task is None)
    if task is None and _is_quantity(levels):
        return Target(task=Task.REGRESSION, names=names)
    classes = _classes(levels)
    if len(classes) < 2:
        only = f"every row is '{classes[0]}'" if classes else "every cell is missing"
        told = f"{tables[0].name}, column '{names[0]}' has nothing to tell apart: {only}. Choose another data.target"
        if any(isinstance(name, int) for name in classes):
            told += (
                f", or, if {classes[0]} and 0{classes[0]} are to be two classes, say data.kinds={{{names[0]}:category}}"
            )
        raise ConfigError(f"{told}.")
    if task is Task.BINARY and len(classes) > 2:
        raise ConfigError(
            f"data.task is binary, but {tables[0].name}, column '{names[0]}' has {len(classes)} classes:"
            f" {', '.join(map(str, classes[:SHOWN]))}. Say data.task=multiclass."
        )
    return Target(task=task or task_of(len(classes)), names=names, classes=classes)


def encoded(table: Table, target: Target) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Labels `(n,)` or values `(n, n_targets)` in their own unit, and which rows lack one."""
    if target.task.is_regression:
        columns = [numbers_of(table.cells(name), name=name, where=table.at) for name in target.names]
        values = np.column_stack(columns)
        return values, np.asarray(np.isnan(values).any(axis=1))
    [name] = target.names
    texts = texts_of(table.cells(name))
    labels = pd.Index([str(c) for c in target.classes]).get_indexer(pd.Index(texts)).astype(np.int64)
    return labels, labels < 0


def _levels(tables: Sequence[Table], name: str, *, to_find: bool) -> list[Any]:
    """All values of the column; if the task is to be found in them, they must not be texts among numbers."""
    found: set[Any] = set()
    for table in tables:
        cells = table.cells(name)
        if to_find:
            _refuse_quantity_in_texts(cells, name=name, where=table.at)
        found.update(plain(level) for level in cells.unique().drop_null().to_pylist())
    return sorted(found - {MISSING_LEVEL}, key=lambda level: (isinstance(level, str), level))


def _refuse_quantity_in_texts(cells: pa.Array, *, name: str, where: Where) -> None:
    """Raise `ConfigError` if these texts or dates are hardly the names of classes."""
    many = len(cells.unique()) > MAX_NUMBERED_CLASSES  # too many for classes that happen to be numbers
    if is_text_type(cells.type):
        mostly = NEARLY if many else MOSTLY
        refuse_mixed(cells, name=name, where=where, remedy=AS_CLASSES, mostly=mostly)
    if not many:
        return
    if is_date_type(cells.type) or _are_dates(cells):
        raise ConfigError(
            f"{where(0)}, column '{name}' holds dates, which can't be predicted. Choose another data.target, or write"
            f" them as numbers, such as days; if each of them is a class, {AS_CLASSES}."
        )
    if is_text_type(cells.type):
        refuse_nearly_numbers(cells, name=name, where=where, remedy=AS_CLASSES)


def _are_dates(cells: pa.Array) -> bool:
    return is_text_type(cells.type) and not is_code(cells.drop_null()) and date_format_of(cells) is not None


def _is_quantity(levels: Sequence[Any]) -> bool:
    if any(isinstance(level, str) for level in levels):
        return False
    return len(levels) > MAX_NUMBERED_CLASSES or any(isinstance(level, float) for level in levels)


def _classes(levels: Sequence[Any]) -> tuple[int | str, ...]:
    """Their names, each once: what is a number in one file may be a text in another."""
    return tuple(levels) if all(isinstance(level, int) for level in levels) else tuple(dict.fromkeys(map(str, levels)))
