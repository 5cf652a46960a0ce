"""The target columns of a table: the task that they imply, and their values as labels or numbers."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from lightsweep.data.reading.numbers import are_numbers, have_leading_zeros, is_number, unit_of
from lightsweep.data.reading.spelling import normalized
from lightsweep.data.table.columns import Kind
from lightsweep.data.table.kinds import (
    BOOLEAN_PAIRS,
    HALF,
    MOST,
    check_format,
    check_not_mixed,
    date_format_of,
    is_declared_category,
)
from lightsweep.data.table.source import Table
from lightsweep.data.table.values import (
    MISSING_LEVEL,
    RowLocator,
    is_date_type,
    is_text_type,
    to_floats,
    to_label,
    to_texts,
)
from lightsweep.data.target import Target, task_of
from lightsweep.errors import ConfigError, first_few
from lightsweep.task import Task

MAX_INTEGER_CLASSES = 20  # a target with more whole numbers is a regression
MAX_LISTED = 10
MAX_INTEGER = 2**63 - 1
INTEGER = re.compile(r"^\+?(-?\d+)(\.0+)?$")
TRUE_FALSE = {"true", "false"}
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
    if normalized(str(selected)) in columns:
        return normalized(str(selected))
    if isinstance(selected, int) and -len(columns) <= selected < len(columns):
        return columns[selected]
    listed = ", ".join(columns[:MAX_LISTED]) + (", ..." if len(columns) > MAX_LISTED else "")
    raise ConfigError(f"data.target is '{selected}', but {table} has no such column. It has: {listed}.")


def find_target(
    tables: Sequence[Table], *, names: tuple[str, ...], task: Task | None, kinds: Mapping[str, str] | None = None
) -> Target:
    """Return the task and the classes of the target columns in all tables, without a scaler.

    A target that is a category, by its type or by `kinds`, has classes, also if they are many numbers; one that is a
    number by `kinds` is a regression. Raises `ConfigError` if the values do not fit the task.
    """
    kind = (kinds or {}).get(names[0])
    if task is None and (len(names) > 1 or kind == Kind.NUMBER):
        task = Task.REGRESSION
    if task is Task.REGRESSION:
        return Target(task=Task.REGRESSION, names=names)
    if len(names) > 1:
        raise ConfigError(
            f"data.task is {task}, but data.target names {len(names)} columns; only regression has several."
        )
    [name] = names
    columns = [table.values(name) for table in tables]
    is_category = kind in (Kind.CATEGORY, Kind.BOOLEAN) or any(
        is_declared_category(table.frame[name].dtype) for table in tables
    )
    if task is None and not is_category:
        for table, values in zip(tables, columns, strict=True):
            _check_implies_task(values, name=name, where=table.location)
    levels = _levels(columns)
    is_text = any(is_text_type(v.type) and name not in t.untyped for t, v in zip(tables, columns, strict=True))
    if task is None and not is_text and not is_category and _is_quantity(levels):
        return Target(task=Task.REGRESSION, names=names)
    classes = _classes(levels, is_text=is_text, is_boolean=all(pa.types.is_boolean(v.type) for v in columns))
    if len(classes) < 2:
        raise _too_few_classes(classes, column=name, tables=tables)
    if task is Task.BINARY and len(classes) > 2:
        raise ConfigError(
            f"data.task is binary, but {tables[0].name}, column '{name}' has {len(classes)} classes:"
            f" {', '.join(map(str, classes[:MAX_LISTED]))}. Set data.task=multiclass."
        )
    return Target(task=task or task_of(len(classes)), names=names, classes=classes)


def encode(table: Table, target: Target) -> npt.NDArray[Any]:
    """Return labels `(n,)`, -1 where missing, or unscaled values `(n, n_targets)`, NaN where missing."""
    if target.task.is_regression:
        return np.column_stack([_quantities(table, name) for name in target.names])
    spell = _spelling_of(target.classes)
    texts = pd.Index(to_texts(table.values(target.names[0]), lambda value: spell(to_label(value))))
    return pd.Index([str(name) for name in target.classes]).get_indexer(texts).astype(np.int64)


def is_missing(y: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which rows of labels or values have no target."""
    missing: npt.NDArray[np.bool_] = y < 0 if y.ndim == 1 else np.isnan(y).any(axis=1)
    return missing


def _quantities(table: Table, name: str) -> npt.NDArray[np.float64]:
    values = table.values(name)
    unit = unit_of(values) if is_text_type(values.type) else None
    return to_floats(values, name=name, where=table.location, unit=unit)


def _levels(columns: Sequence[pa.Array]) -> list[str]:
    """Return the sorted labels of the target column of each table, as their texts; numbers first, and by their size."""
    levels = {to_label(level) for values in columns for level in values.unique().drop_null().to_pylist()}
    return sorted(levels - {MISSING_LEVEL}, key=_rank)


def _rank(level: str) -> tuple[bool, float, str]:
    """Return the key that sorts numbers first; NaN has no size, and so is a text."""
    size = float(level) if is_number(level) else math.nan
    return (True, 0.0, level) if math.isnan(size) else (False, size, level)


def _check_implies_task(values: pa.Array, *, name: str, where: RowLocator) -> None:
    """Raise `ConfigError` if the target could be a quantity or dates in text, so that its task is unclear."""
    is_text, many = is_text_type(values.type), len(values.unique()) > MAX_INTEGER_CLASSES
    may_be_mixed = is_text and unit_of(values) is None
    if may_be_mixed:
        check_not_mixed(values, name=name, where=where, remedy=AS_CLASSES, threshold=HALF if many else MOST)
    if not many:
        return
    is_text_of_dates = is_text and not are_numbers(values) and date_format_of(values) is not None
    if is_date_type(values.type) or is_text_of_dates:
        raise ConfigError(
            f"{where(0)}, column '{name}' holds dates, which can't be predicted. Choose another data.target, or write"
            f" them as numbers, such as days; if each of them is a class, {AS_CLASSES}."
        )
    if may_be_mixed:
        check_format(values, name=name, where=where, remedy=AS_CLASSES)


def _is_quantity(levels: Sequence[str]) -> bool:
    """True if labels have a unit, or are fractions, or many whole numbers; codes with leading zeros are not."""
    texts = pa.array(levels, pa.string())
    if unit_of(texts) is not None:
        return True
    if not all(map(is_number, levels)) or have_leading_zeros(texts):
        return False
    return len(levels) > MAX_INTEGER_CLASSES or not all(map(_is_whole, levels))


def _is_whole(text: str) -> bool:
    return INTEGER.match(text) is not None


def _integer(text: str) -> str:
    """Return 1 for +1 and 1.0, and other texts as they are."""
    return INTEGER.sub(r"\1", text)


def _classes(levels: Sequence[str], *, is_text: bool, is_boolean: bool) -> tuple[bool | int | str, ...]:
    """Return booleans, integers or texts, in the type and, for texts, the spelling of the files.

    Spellings of true and false, and the like, in upper and lower case are one class, in lower case.
    """
    words = {level.lower() for level in levels}
    if words == TRUE_FALSE and (is_boolean or not is_text):
        return (False, True)
    if words in BOOLEAN_PAIRS and len(levels) > len(words):
        return tuple(sorted(words))
    are_integers = not is_text and all(map(_is_whole, levels)) and not have_leading_zeros(pa.array(levels, pa.string()))
    if are_integers and all(abs(int(_integer(level))) <= MAX_INTEGER for level in levels):
        return tuple(sorted({int(_integer(level)) for level in levels}))
    return tuple(levels)


def note_on_spellings(tables: Sequence[Table], target: Target) -> str:
    """Return a sentence on labels that are written in several ways, "" if there are none."""
    levels = _levels([table.values(target.names[0]) for table in tables]) if target.classes else []
    if len(levels) == len(target.classes):
        return ""
    return f"{target.names[0]}: {len(levels)} spellings ({first_few(levels)}) are {len(target.classes)} classes"


def _spelling_of(classes: Sequence[bool | int | str]) -> Callable[[str], str]:
    """Return the function that gives all spellings of a class the one of `str` of it."""
    if all(isinstance(name, bool) for name in classes):
        return lambda text: text.capitalize()
    if all(isinstance(name, int) for name in classes):
        return _integer
    if {*classes} in BOOLEAN_PAIRS:
        return str.lower
    return str


def _too_few_classes(classes: Sequence[bool | int | str], *, column: str, tables: Sequence[Table]) -> ConfigError:
    content = f"every row is '{classes[0]}'" if classes else "every cell is missing"
    return ConfigError(
        f"{tables[0].name}, column '{column}' has fewer than two classes: {content}{read_as_missing(tables, column)}."
        " Choose another data.target."
    )


def read_as_missing(tables: Sequence[Table], column: str) -> str:
    """Return a clause with the texts that were read as missing cells of a column, "" if there are none."""
    found: Counter[str] = Counter()
    for table in tables:
        found.update(table.missing_texts(column))
    if not found:
        return ""
    texts = ", ".join(f"{text!r} in {n:,}" for text, n in found.most_common(MAX_LISTED))
    return f" ({texts} rows counts as missing; if it is a class, set data.missing=[])"
