"""From tables to the files that every trial maps into memory: a matrix and targets per split, and what made them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lightsweep.data.preprocessing import PREPROCESSING
from lightsweep.data.splits import Scaler
from lightsweep.data.table.columns import Columns, Kind, find_columns
from lightsweep.data.table.labels import Table, encoded, find_target, target_names
from lightsweep.data.table.overview import overview_of
from lightsweep.data.table.preprocessing import FITTED, TablePreprocessing, rows_at_once
from lightsweep.data.table.splitting import NAMES, NOWHERE, TRAIN, VAL, Parts, Split, check_parts, split_rows
from lightsweep.data.target import Target
from lightsweep.errors import ConfigError, first_few
from lightsweep.files import write_atomically
from lightsweep.task import Task

# Medians, means and quantiles of so many rows are those of all.
ROWS_TO_FIT = 500_000
CELLS_TO_FIT = 32_000_000

OVERVIEW = "overview.txt"
TARGET = "target.json"
FILES = (OVERVIEW, TARGET, PREPROCESSING, FITTED, *(f"{part}_{name}.npy" for part in "xy" for name in NAMES))


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """What a file of `conf/data` says of how a table becomes tensors."""

    target: Any
    task: str | None
    split: str | None
    val_fraction: float
    test_fraction: float
    scale: str
    one_hot_up_to: int = 0
    drop: Sequence[str] | None = None
    kinds: Mapping[str, str] | None = None
    missing: Sequence[str] | None = None
    decimal: str = "."
    split_by: str | None = None
    seed: int
    refit: bool


@dataclass(frozen=True)
class Labelled:
    """A table with the target of each row and the split that it is in."""

    table: Table
    y: npt.NDArray[Any]
    parts: Parts


def prepare(tables: Mapping[str, Table], settings: TableSettings, folder: Path) -> str:
    """Write all splits into the folder and give an overview of the columns, in a few lines.

    `tables` holds "train", which is cut as far as "val" or "test" are not there. Raises `ConfigError` with the
    table, the column and the row for whatever is wrong with them.
    """
    tables = {name: replace(table, missing=settings.missing) for name, table in tables.items()}
    first = tables["train"]
    wanted = [*first.targets] if settings.target is None else settings.target
    names = target_names(wanted, [str(name) for name in first.frame.columns], table=first.name)
    features = _features(first, settings, names)
    _check_columns(tables, needed=[*features, *names])
    target = find_target([*tables.values()], names=names, task=Task(settings.task) if settings.task else None)
    labelled = _labelled(tables, target, settings)
    columns, left_out = find_columns(
        first.frame, names=features, kinds=settings.kinds or {}, missing=settings.missing, where=first.where
    )
    if not columns.all:
        raise ConfigError(
            f"{first.name} has no column left to learn from. Drop fewer, or say what they are: data.kinds."
        )
    preprocessing = _fit(labelled, replace(columns, decimal=settings.decimal), settings)
    target = _with_scaler(target, labelled, table=first.name)
    _write(folder, labelled, preprocessing, target)
    overview = overview_of(
        [*tables.values()],
        parts=np.concatenate([one.parts for one in labelled]),
        y=np.concatenate([one.y for one in labelled]),
        target=target,
        preprocessing=preprocessing,
        left_out={**first.left_out, **left_out},
    )
    write_atomically(folder / OVERVIEW, overview)
    return overview


def _features(table: Table, settings: TableSettings, names: Sequence[str]) -> list[str]:
    columns, drop = [str(name) for name in table.frame.columns], settings.drop or ()
    for key, named in (("drop", drop), ("kinds", settings.kinds or ())):
        if unknown := [name for name in named if name not in columns]:
            raise ConfigError(f"data.{key} names '{unknown[0]}', but {table.name} has no such column.")
    if wrong := {*drop} & {*names}:
        raise ConfigError(f"data.drop names '{min(wrong)}', which is the target.")
    if settings.split_by in names:
        raise ConfigError(f"data.split_by is '{settings.split_by}', which is the target.")
    return [name for name in columns if name not in {*drop, *names, settings.split_by}]


def _check_columns(tables: Mapping[str, Table], *, needed: Sequence[str]) -> None:
    for table in tables.values():
        if lacking := [name for name in needed if name not in table.frame.columns]:
            raise ConfigError(f"{table.name} has no column '{lacking[0]}', which {tables['train'].name} has.")


def _labelled(tables: Mapping[str, Table], target: Target, settings: TableSettings) -> list[Labelled]:
    labelled = []
    for name, table in tables.items():
        y, missing = encoded(table, target)
        if missing.all():
            columns = first_few([*map(repr, target.names)])
            raise ConfigError(f"{table.name} has no rows left: the target {columns} is missing in all {len(y)}.")
        if name == "train" and len(tables) < len(NAMES):
            parts = _cut(table, y, ~missing, tables=tables, target=target, settings=settings)
        else:
            parts = np.where(missing, NOWHERE, NAMES.index(name)).astype(np.int8)
        labelled.append(Labelled(table, y, parts))
    check_parts([*tables.values()], [one.parts for one in labelled], [one.y for one in labelled], target=target)
    return [_joined(one) for one in labelled] if settings.refit else labelled


def _cut(
    table: Table,
    y: npt.NDArray[Any],
    kept: npt.NDArray[np.bool_],
    *,
    tables: Mapping[str, Table],
    target: Target,
    settings: TableSettings,
) -> Parts:
    """Cut the table, into those splits that are no tables of their own."""
    return split_rows(
        table,
        y,
        kept,
        target=target,
        how=Split(settings.split) if settings.split else None,
        by=settings.split_by,
        val_fraction=0.0 if "val" in tables else settings.val_fraction,
        test_fraction=0.0 if "test" in tables else settings.test_fraction,
        seed=settings.seed,
    )


def _joined(one: Labelled) -> Labelled:
    """Training and validation as one split."""
    return replace(one, parts=np.where(one.parts == VAL, TRAIN, one.parts).astype(np.int8))


def _windows(one: Labelled, columns: Columns) -> Iterator[tuple[pd.DataFrame, slice]]:
    """The typed rows, so many at a time that they need little memory."""
    n, frame = rows_at_once(len(columns.all)), one.table.frame
    for start in range(0, len(frame), n):
        rows = slice(start, start + n)
        yield columns.typed(frame.iloc[rows], where=one.table.where), rows


def _fit(labelled: Sequence[Labelled], columns: Columns, settings: TableSettings) -> TablePreprocessing:
    """See all levels of the training rows, and the numbers of an even share of them."""
    levels: dict[str, set[str]] = {name: set() for name in columns.named(Kind.CATEGORY)}
    n_train = sum(int((one.parts == TRAIN).sum()) for one in labelled)
    share = min(ROWS_TO_FIT, CELLS_TO_FIT // len(columns.all)) / n_train
    rng = np.random.default_rng(settings.seed)
    sample = []
    for one in labelled:
        for typed, rows in _windows(one, columns):
            train = one.parts[rows] == TRAIN
            for name in levels:
                levels[name].update(typed[name].to_numpy()[train])
            sample.append(typed[train & (rng.random(len(train)) < share)])
    return TablePreprocessing.fitted(
        pd.concat(sample, ignore_index=True),
        columns=columns,
        levels={name: sorted(found) for name, found in levels.items()},
        scale=settings.scale,
        one_hot_up_to=settings.one_hot_up_to,
        seed=settings.seed,
    )


def _with_scaler(target: Target, labelled: Sequence[Labelled], *, table: str) -> Target:
    if not target.task.is_regression:
        return target
    y = np.concatenate([one.y[one.parts == TRAIN] for one in labelled])
    for name, lowest, highest in zip(target.names, y.min(axis=0), y.max(axis=0), strict=True):
        if lowest == highest:
            raise ConfigError(
                f"{table}, column '{name}' has nothing to learn: it is {lowest:g} in every row for training."
                " Choose another data.target."
            )
    return replace(target, scaler=Scaler.of(y))


def _write(folder: Path, labelled: Sequence[Labelled], preprocessing: TablePreprocessing, target: Target) -> None:
    _write_targets(folder, labelled, target)
    _write_matrices(folder, labelled, preprocessing)
    preprocessing.save(folder)
    write_atomically(folder / TARGET, json.dumps(target.to_record()))


def _write_targets(folder: Path, labelled: Sequence[Labelled], target: Target) -> None:
    for part, name in enumerate(NAMES):
        y = np.concatenate([one.y[one.parts == part] for one in labelled])
        np.save(folder / f"y_{name}.npy", target.scaler.transform(y) if target.scaler else y, allow_pickle=False)


def _write_matrices(folder: Path, labelled: Sequence[Labelled], preprocessing: TablePreprocessing) -> None:
    """Row after row by plain writes: pages of a mapped file would count as memory of this process."""
    files = {part: (folder / f"x_{name}.npy").open("wb") for part, name in enumerate(NAMES)}
    try:
        for part, file in files.items():
            n = sum(int((one.parts == part).sum()) for one in labelled)
            header = {"descr": "<f4", "fortran_order": False, "shape": (n, preprocessing.d_in)}
            np.lib.format.write_array_header_1_0(file, header)
        for one in labelled:
            for typed, rows in _windows(one, preprocessing.columns):
                matrix = preprocessing.matrix_of(typed)
                for part, file in files.items():
                    file.write(np.ascontiguousarray(matrix[one.parts[rows] == part]).data)
    finally:
        for file in files.values():
            file.close()
