"""Assignment of the rows of a table to training, validation and test."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lightsweep.data.reading.numbers import is_number
from lightsweep.data.resampling import pick_groups
from lightsweep.data.splits import stratified_rows
from lightsweep.data.table.kinds import date_format_of
from lightsweep.data.table.rare_classes import RareClassPolicy
from lightsweep.data.table.source import Table, TableSettings
from lightsweep.data.table.values import MISSING_LEVEL, is_number_type, to_days, to_floats, to_texts
from lightsweep.data.target import Target
from lightsweep.errors import ConfigError

SPLIT_NAMES = ("train", "val", "test")
TRAIN, VAL, TEST = range(3)
UNUSED = -1
SPLIT_OF_WORD = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VAL),
    "test": TEST,
}

Assignment = npt.NDArray[np.int8]  # the split of each row: TRAIN, VAL, TEST or UNUSED
Rows = npt.NDArray[np.intp]
Targets = npt.NDArray[Any]


class Split(StrEnum):
    STRATIFIED = "stratified"
    RANDOM = "random"
    GROUP = "group"
    TIME = "time"
    COLUMN = "column"


@dataclass(frozen=True)
class LabelledTable:
    """A table with the target and the split of each row."""

    table: Table
    y: Targets
    assignment: Assignment


def split_rows(
    table: Table, y: Targets, used: npt.NDArray[np.bool_], *, target: Target, settings: TableSettings
) -> Assignment:
    """Return the split of each row, `UNUSED` where `used` is false. The test rows do not depend on `val_fraction`.

    Raises `ConfigError` if the settings do not fit the table.
    """
    how = _way_of(settings, target)
    _check_settings(table, how=how, target=target, settings=settings)
    rows = np.flatnonzero(used)
    assignment = np.full(len(used), UNUSED, dtype=np.int8)
    if how is Split.COLUMN:
        assignment[rows] = _read_splits(table, rows, str(settings.split_by))
    elif how is Split.GROUP:
        assignment[rows] = _split_groups(_read_groups(table, rows, str(settings.split_by)), settings)
    elif how is Split.STRATIFIED:
        assignment[rows] = _split_classes(y[rows], settings)
    elif how is Split.TIME:
        assignment[rows] = _split_ordered(_read_moments(table, rows, str(settings.split_by)), settings)
    else:
        assignment[rows] = _split_ordered(np.random.default_rng(settings.seed).permutation(len(rows)), settings)
    return assignment


def split_again(one: LabelledTable, *, target: Target, settings: TableSettings) -> LabelledTable:
    """Return the table with the validation rows that `settings.resampling` chooses; the test rows are the same.

    Raises `ConfigError` if there are fewer groups than folds.
    """
    rest = np.flatnonzero((one.assignment == TRAIN) | (one.assignment == VAL))
    how, resampling = _way_of(settings, target), settings.resampling
    if how is Split.GROUP:
        groups = _read_groups(one.table, rest, str(settings.split_by))
        n_rows = round((one.assignment != UNUSED).sum() * settings.val_fraction)
        is_val = resampling.validation_groups(groups, n_rows=n_rows, seed=settings.seed)
    else:
        labels = one.y[rest] if how is Split.STRATIFIED else np.zeros(len(rest))
        fraction = (one.assignment == VAL).sum() / max(1, len(rest))
        is_val = resampling.validation(labels, fraction=fraction, seed=settings.seed)
    assignment = one.assignment.copy()
    assignment[rest] = np.where(is_val, VAL, TRAIN)
    return replace(one, assignment=assignment)


def _way_of(settings: TableSettings, target: Target) -> Split:
    return Split(settings.split or (Split.RANDOM if target.task.is_regression else Split.STRATIFIED))


def _check_settings(table: Table, *, how: Split, target: Target, settings: TableSettings) -> None:
    by, val_fraction, test_fraction = settings.split_by, settings.val_fraction, settings.test_fraction
    if val_fraction + test_fraction >= 1:
        raise ConfigError(
            f"data.val_fraction is {val_fraction} and data.test_fraction is {test_fraction}, so no row is left"
            " to train."
        )
    if how is Split.STRATIFIED and target.task.is_regression:
        raise ConfigError(
            "data.split is stratified, which needs classes, but the task is regression. Set data.split=random."
        )
    needs_column = how in (Split.GROUP, Split.TIME, Split.COLUMN)
    if needs_column and by is None:
        raise ConfigError(f"data.split is {how}, so data.split_by must name the column.")
    if by is not None and not needs_column:
        raise ConfigError(f"data.split_by is '{by}', but data.split is {how}. Set data.split=group, time or column.")
    if by is not None and by not in table.frame.columns:
        raise ConfigError(f"data.split_by is '{by}', but {table.name} has no such column.")


def _read_splits(table: Table, rows: Rows, by: str) -> Assignment:
    words = to_texts(table.values(by))[rows]
    assignment = np.full(len(rows), UNUSED, dtype=np.int8)
    for word in set(words):
        if word.lower() not in SPLIT_OF_WORD:
            location = table.location(int(rows[(words == word).argmax()]))
            value = "missing" if word == MISSING_LEVEL else f"'{word}'"
            raise ConfigError(
                f"{location}, column '{by}' is {value}; with data.split=column it must be train, val or test."
            )
        assignment[words == word] = SPLIT_OF_WORD[word.lower()]
    return assignment


def _read_groups(table: Table, rows: Rows, by: str) -> Rows:
    groups = to_texts(table.values(by))[rows]
    if (missing := groups == MISSING_LEVEL).any():
        location = table.location(int(rows[missing.argmax()]))
        raise ConfigError(f"{location}, column '{by}' is missing; data.split=group needs it.")
    return pd.factorize(groups)[0]


def _read_moments(table: Table, rows: Rows, by: str) -> npt.NDArray[np.float64]:
    values = table.values(by)
    if is_number_type(values.type):
        moments = to_floats(values, name=by, where=table.location)
    else:
        moments = to_days(values, date_format=date_format_of(values), name=by, where=table.location)
    if (missing := np.isnan(moments)).any():
        location = table.location(int(missing.argmax()))
        raise ConfigError(f"{location}, column '{by}' is missing; data.split=time needs it.")
    return moments[rows]


def _split_classes(y: Targets, settings: TableSettings) -> Assignment:
    assignment = np.empty(len(y), dtype=np.int8)
    splits = stratified_rows(
        y, seed=settings.seed, val_fraction=settings.val_fraction, test_fraction=settings.test_fraction
    )
    for split, rows in enumerate(splits):
        assignment[rows] = split
    return assignment


def _split_groups(groups: Rows, settings: TableSettings) -> Assignment:
    """Assign whole groups in random order, first to test and then to validation, up to the wanted number of rows."""
    sizes = np.bincount(groups)
    left = np.random.default_rng(settings.seed).permutation(len(sizes))
    split_of_group = np.full(len(sizes), TRAIN, dtype=np.int8)
    for split, fraction in ((TEST, settings.test_fraction), (VAL, settings.val_fraction)):
        picked = pick_groups(sizes[left], n_rows=round(len(groups) * fraction))
        split_of_group[left[picked]] = split
        left = left[~picked]
    return split_of_group[groups]


def _split_ordered(ranks: npt.NDArray[Any], settings: TableSettings) -> Assignment:
    """Assign the last rows by rank to test and those before them to validation; equal ranks stay together."""
    n = len(ranks)
    order = np.argsort(ranks, kind="stable")
    n_val, n_test = round(n * settings.val_fraction), round(n * settings.test_fraction)
    first_val, first_test = (_nearest_cut(ranks[order], at) for at in (n - n_val - n_test, n - n_test))
    assignment = np.empty(n, dtype=np.int8)
    assignment[order] = np.repeat(np.array([TRAIN, VAL, TEST]), np.diff([0, first_val, first_test, n]))
    return assignment


def _nearest_cut(ranks: npt.NDArray[Any], at: int) -> int:
    """Return the index nearest to `at` that does not separate equal ranks; the ranks ascend."""
    if not 0 < at < len(ranks):
        return at
    before, after = (int(np.searchsorted(ranks, ranks[at - 1], side=side)) for side in ("left", "right"))
    return at if after == at else min(before, after, key=lambda cut: abs(cut - at))


def check_splits(labelled: Sequence[LabelledTable], *, target: Target, policy: RareClassPolicy) -> None:
    """Raise `ConfigError` if a split is empty, or if a class has too few rows or none for training."""
    assignment = np.concatenate([one.assignment for one in labelled])
    y = np.concatenate([one.y for one in labelled])
    sizes = {name: int((assignment == split).sum()) for split, name in enumerate(SPLIT_NAMES)}
    if empty := [name for name, size in sizes.items() if not size]:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ConfigError(
            f"{labelled[0].table.name}: no row is left for {' and '.join(empty)} ({listed})."
            " Give more rows, or split them in another way, with data.split."
        )
    are_numbers = all(is_number(str(name)) for name in target.classes)
    remedy = " If these numbers are a quantity, set data.task=regression." if are_numbers else ""
    for label, name in enumerate(target.classes):
        of_class = y == label
        n, n_train = int(of_class.sum()), int((assignment[of_class] == TRAIN).sum())
        if n < len(SPLIT_NAMES) or not n_train:
            raise ConfigError(
                f"{_location(labelled, int(of_class.argmax()))}, column '{target.names[0]}': the class '{name}' has {n}"
                f" rows, {n_train} of them for training; it needs at least {len(SPLIT_NAMES)} rows, and one for"
                f" training. Give more such rows{policy.remedy}.{remedy}"
            )


def _location(labelled: Sequence[LabelledTable], i: int) -> str:
    """Return the location of row `i` of the concatenated tables."""
    for one in labelled:
        if i < len(one.y):
            return one.table.location(i)
        i -= len(one.y)
    raise AssertionError
