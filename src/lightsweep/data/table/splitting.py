"""Which rows of a table are for training, validation and test."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lightsweep.data.splits import stratified_rows
from lightsweep.data.table.columns import date_format_of
from lightsweep.data.table.labels import Table
from lightsweep.data.table.values import MISSING_LEVEL, days_of, is_number_type, numbers_of, texts_of
from lightsweep.data.target import Target
from lightsweep.errors import ConfigError

NAMES = ("train", "val", "test")
TRAIN, VAL, TEST = range(3)
NOWHERE = -1
PART_OF_WORD = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VAL),
    "test": TEST,
}

Parts = npt.NDArray[np.int8]
Labels = npt.NDArray[Any]


class Split(StrEnum):
    STRATIFIED = "stratified"
    RANDOM = "random"
    GROUP = "group"
    TIME = "time"
    COLUMN = "column"


def split_rows(
    table: Table,
    y: Labels,
    kept: npt.NDArray[np.bool_],
    *,
    target: Target,
    how: Split | None,
    by: str | None,
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> Parts:
    """The split of each row, `NOWHERE` for a row that is not kept. Test rows do not depend on `val_fraction`.

    Raises `ConfigError` if the rows can't be cut like this.
    """
    if val_fraction + test_fraction >= 1:
        raise ConfigError(
            f"data.val_fraction is {val_fraction} and data.test_fraction is {test_fraction}, so no row is left"
            " to train."
        )
    how = how or (Split.RANDOM if target.task.is_regression else Split.STRATIFIED)
    _check_asked(table, how=how, by=by, target=target)
    rows = np.flatnonzero(kept)
    if how is Split.COLUMN:
        assigned = _by_word(table, str(by), rows)
    elif how is Split.GROUP:
        groups = _groups(table, rows, str(by))
        assigned = _by_group(groups, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed)
    elif how is Split.STRATIFIED:
        assigned = _stratified(y[rows], val_fraction=val_fraction, test_fraction=test_fraction, seed=seed)
    else:
        ranks = _ranks(table, rows, how=how, by=by, seed=seed)
        order = np.argsort(ranks, kind="stable")
        assigned = np.empty(len(rows), dtype=np.int8)
        assigned[order] = _from_the_end(ranks[order], val_fraction=val_fraction, test_fraction=test_fraction)
    parts = np.full(len(kept), NOWHERE, dtype=np.int8)
    parts[rows] = assigned
    return parts


def _check_asked(table: Table, *, how: Split, by: str | None, target: Target) -> None:
    if how is Split.STRATIFIED and target.task.is_regression:
        raise ConfigError(
            "data.split is stratified, which needs classes, but the task is regression. Say data.split=random."
        )
    needs_column = how in (Split.GROUP, Split.TIME, Split.COLUMN)
    if needs_column and by is None:
        raise ConfigError(f"data.split is {how}, so data.split_by must name the column.")
    if by is not None and not needs_column:
        raise ConfigError(f"data.split_by is '{by}', but data.split is {how}. Say data.split=group, time or column.")
    if by is not None and by not in table.frame.columns:
        raise ConfigError(f"data.split_by is '{by}', but {table.name} has no such column.")


def _stratified(y: Labels, *, val_fraction: float, test_fraction: float, seed: int) -> Parts:
    parts = np.empty(len(y), dtype=np.int8)
    cut = stratified_rows(y, seed=seed, val_fraction=val_fraction, test_fraction=test_fraction)
    for part, rows in enumerate(cut):
        parts[rows] = part
    return parts


def _from_the_end(ranks: npt.NDArray[Any], *, val_fraction: float, test_fraction: float) -> Parts:
    """The last of these ascending ranks test, and those before them validate; equal ranks stay together."""
    n = len(ranks)
    n_test, n_val = round(n * test_fraction), round(n * val_fraction)
    first_val, first_test = (_beside(ranks, at) for at in (n - n_val - n_test, n - n_test))
    return np.repeat(np.array([TRAIN, VAL, TEST], dtype=np.int8), np.diff([0, first_val, first_test, n]))


def _beside(ranks: npt.NDArray[Any], at: int) -> int:
    """The nearest place to cut that is not between equal ranks."""
    if not 0 < at < len(ranks):
        return at
    before, after = (int(np.searchsorted(ranks, ranks[at - 1], side=side)) for side in ("left", "right"))
    return at if after == at else min(before, after, key=lambda cut: abs(cut - at))


def _ranks(table: Table, rows: npt.NDArray[np.intp], *, how: Split, by: str | None, seed: int) -> npt.NDArray[Any]:
    """A number per row: the first rows train, the last ones test."""
    if how is Split.TIME:
        return _moments(table, str(by))[rows]
    return np.random.default_rng(seed).permutation(len(rows))


def _groups(table: Table, rows: npt.NDArray[np.intp], by: str) -> npt.NDArray[np.intp]:
    groups = texts_of(table.cells(by))[rows]
    if (missing := groups == MISSING_LEVEL).any():
        raise ConfigError(
            f"{table.at(int(rows[missing.argmax()]))}, column '{by}' is missing; data.split=group needs it."
        )
    return pd.factorize(groups)[0]


def _by_group(groups: npt.NDArray[np.intp], *, val_fraction: float, test_fraction: float, seed: int) -> Parts:
    """Whole groups, drawn in a random order, as long as they fit into what test and then validation are to have."""
    sizes = np.bincount(groups)
    left = np.random.default_rng(seed).permutation(len(sizes))
    of_group = np.full(len(sizes), TRAIN, dtype=np.int8)
    for part, fraction in ((TEST, test_fraction), (VAL, val_fraction)):
        taken = _taken(sizes[left], wanted=round(len(groups) * fraction))
        of_group[left[taken]] = part
        left = left[~taken]
    return of_group[groups]


def _taken(sizes: npt.NDArray[np.intp], *, wanted: int) -> npt.NDArray[np.bool_]:
    """Which groups to take: those that fit, and a last one if it leaves less to be wished for, or nothing fits."""
    taken = np.zeros(len(sizes), dtype=np.bool_)
    missing = wanted
    for i, size in enumerate(sizes):
        if size <= missing:
            taken[i] = True
            missing -= size
    if missing and not taken.all():
        smallest = int(np.where(taken, sizes.max() + 1, sizes).argmin())
        taken[smallest] = not taken.any() or abs(missing - sizes[smallest]) < missing
    return taken


def _moments(table: Table, by: str) -> npt.NDArray[np.float64]:
    cells = table.cells(by)
    if is_number_type(cells.type):
        moments = numbers_of(cells, name=by, where=table.at)
    else:
        moments = days_of(cells, date_format=date_format_of(cells), name=by, where=table.at)
    if np.isnan(moments).any():
        raise ConfigError(
            f"{table.at(int(np.isnan(moments).argmax()))}, column '{by}' is missing; data.split=time needs it."
        )
    return moments


def _by_word(table: Table, by: str, rows: npt.NDArray[np.intp]) -> Parts:
    words = texts_of(table.cells(by))[rows]
    parts = np.full(len(rows), NOWHERE, dtype=np.int8)
    for word in set(words):
        part = PART_OF_WORD.get(word.lower())
        if part is None:
            place = table.at(int(rows[(words == word).argmax()]))
            shown = "missing" if word == MISSING_LEVEL else f"'{word}'"
            raise ConfigError(
                f"{place}, column '{by}' is {shown}; with data.split=column it must be train, val or test."
            )
        parts[words == word] = part
    return parts


def check_parts(tables: Sequence[Table], parts: Sequence[Parts], ys: Sequence[Labels], *, target: Target) -> None:
    """Raise `ConfigError` if a split is empty, or if a class is not among the rows to learn from."""
    every, y = np.concatenate(parts), np.concatenate(ys)
    sizes = {name: int((every == part).sum()) for part, name in enumerate(NAMES)}
    if empty := [name for name, size in sizes.items() if not size]:
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ConfigError(
            f"{tables[0].name}: no row is left for {' and '.join(empty)} ({told})."
            " Give more rows, or split them in another way, with data.split."
        )
    are_numbers = all(isinstance(name, int) for name in target.classes)
    remedy = " If these numbers are a quantity, say data.task=regression." if are_numbers else ""
    for label, name in enumerate(target.classes):
        of_class = y == label
        n, n_train = int(of_class.sum()), int((every[of_class] == TRAIN).sum())
        if n < len(NAMES) or not n_train:
            raise ConfigError(
                f"{_place(tables, int(of_class.argmax()))}, column '{target.names[0]}': the class '{name}' has {n} rows"
                f" in all, of which {n_train} are for training; it needs at least {len(NAMES)}, and one to learn from."
                f" Give more such rows, or leave these out.{remedy}"
            )


def _place(tables: Sequence[Table], i: int) -> str:
    """Where the row is that is number `i` of all tables together."""
    for table in tables:
        if i < len(table.frame):
            return table.at(i)
        i -= len(table.frame)
    raise AssertionError
