"""From tables to the files that every trial maps into memory: a matrix and targets per split, and what made them."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lightsweep.data.splits import Scaler
from lightsweep.data.table.columns import Columns, Kind, find_columns
from lightsweep.data.table.labels import Table, encoded, find_target, target_names
from lightsweep.data.table.preprocessing import ROWS_AT_ONCE, TablePreprocessing
from lightsweep.data.table.splitting import NAMES, NOWHERE, TEST, TRAIN, VAL, Parts, Split, check_parts, split_rows
from lightsweep.data.target import Target
from lightsweep.errors import ConfigError
from lightsweep.files import write_atomically
from lightsweep.task import Task

ROWS_TO_FIT = 500_000  # medians, means and quantiles of so many rows are those of all
OVERVIEW = "overview.txt"
TARGET = "target.json"


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """What `conf/data/table.yaml` says of how a table becomes tensors."""

    target: Any
    drop: tuple[str, ...]
    task: Task | None
    kinds: Mapping[str, str]
    split: Split | None
    split_by: str | None
    val_fraction: float
    test_fraction: float
    scale: str
    one_hot_up_to: int
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
    first = tables["train"]
    names = target_names(settings.target, [str(name) for name in first.frame.columns])
    _check_columns(tables, settings, names)
    target = find_target([*tables.values()], names=names, task=settings.task)
    labelled = [_labelled(name, table, tables, target=target, settings=settings) for name, table in tables.items()]
    check_parts([l.table for l in labelled], [l.parts for l in labelled], [l.y for l in labelled], target=target)
    if settings.refit:
        labelled = [replace(l, parts=np.where(l.parts == VAL, TRAIN, l.parts).astype(np.int8)) for l in labelled]
    columns, left_out = find_columns(
        first.frame, names=_features(first, settings, names), kinds=settings.kinds, where=first.where
    )
    if not columns.all:
        raise ConfigError(
            f"{first.name} has no column left to learn from. Drop fewer columns, or say their data.kinds."
        )
    preprocessing = _fit(labelled, columns, settings)
    target = _with_scaler(target, labelled)
    _write(folder, labelled, preprocessing, target)
    overview = _overview(labelled, columns, target, preprocessing, left_out)
    write_atomically(folder / OVERVIEW, overview)
    return overview


def _check_columns(tables: Mapping[str, Table], settings: TableSettings, names: Sequence[str]) -> None:
    first = tables["train"]
    if unknown := [name for name in settings.drop if name not in first.frame.columns]:
        raise ConfigError(f"data.drop names '{unknown[0]}', but {first.name} has no such column.")
    if wrong := set(settings.drop) & set(names):
        raise ConfigError(f"data.drop names '{min(wrong)}', which is the target.")
    needed = {*_features(first, settings, names), *names}
    for table in tables.values():
        if lacking := sorted(needed - set(table.frame.columns)):
            raise ConfigError(f"{table.name} has no column '{lacking[0]}', which {first.name} has.")


def _features(table: Table, settings: TableSettings, names: Sequence[str]) -> list[str]:
    others = {*settings.drop, *names, settings.split_by}
    return [str(name) for name in table.frame.columns if name not in others]


def _labelled(
    name: str, table: Table, tables: Mapping[str, Table], *, target: Target, settings: TableSettings
) -> Labelled:
    y, missing = encoded(table, target)
    if missing.all():
        raise ConfigError(
            f"{table.name} has no rows left: column '{target.names[0]}' is missing in all {len(y)} of them."
        )
    if name != "train" or len(tables) == len(NAMES):
        return Labelled(table, y, np.where(missing, NOWHERE, NAMES.index(name)).astype(np.int8))
    parts = split_rows(
        table,
        y,
        ~missing,
        target=target,
        how=settings.split,
        by=settings.split_by,
        val_fraction=0.0 if "val" in tables else settings.val_fraction,
        test_fraction=0.0 if "test" in tables else settings.test_fraction,
        seed=settings.seed,
    )
    return Labelled(table, y, parts)


def _windows(labelled: Labelled, columns: Columns) -> Iterator[tuple[pd.DataFrame, slice]]:
    """The typed rows, so many at a time that they need little memory."""
    frame = labelled.table.frame
    for start in range(0, len(frame), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        yield columns.typed(frame.iloc[rows], where=labelled.table.where), rows


def _fit(labelled: Sequence[Labelled], columns: Columns, settings: TableSettings) -> TablePreprocessing:
    """See all levels of the training rows, and the numbers of an even share of them."""
    levels: dict[str, set[str]] = {name: set() for name in columns.named(Kind.CATEGORY)}
    share = min(1.0, ROWS_TO_FIT / sum(int((one.parts == TRAIN).sum()) for one in labelled))
    rng = np.random.default_rng(settings.seed)
    sample = []
    for one in labelled:
        for typed, rows in _windows(one, columns):
            train = one.parts[rows] == TRAIN
            for name in levels:
                levels[name].update(typed[name].to_numpy()[train])
            sample.append(typed[train & (rng.random(len(train)) < share)] if share < 1 else typed[train])
    return TablePreprocessing.fitted(
        pd.concat(sample, ignore_index=True),
        columns=columns,
        levels={name: sorted(found) for name, found in levels.items()},
        scale=settings.scale,
        one_hot_up_to=settings.one_hot_up_to,
        seed=settings.seed,
    )


def _with_scaler(target: Target, labelled: Sequence[Labelled]) -> Target:
    if not target.task.is_regression:
        return target
    return replace(target, scaler=Scaler.of(np.concatenate([one.y[one.parts == TRAIN] for one in labelled])))


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


def _overview(
    labelled: Sequence[Labelled],
    columns: Columns,
    target: Target,
    preprocessing: TablePreprocessing,
    left_out: Mapping[str, str],
) -> str:
    parts = np.concatenate([one.parts for one in labelled])
    sizes = ", ".join(f"{(parts == part).sum():,} {name}" for part, name in enumerate(NAMES))
    lines = [
        f"{', '.join(one.table.name for one in labelled)}: {(parts != NOWHERE).sum():,} rows ({sizes}),"
        f" {len(columns.all)} columns, {preprocessing.d_in} features",
        _of_target(target, labelled),
    ]
    lines += [f"  {kind:<9}{', '.join(columns.named(kind))}" for kind in Kind if columns.named(kind)]
    lines += [f"  left out {name} ({why})" for name, why in left_out.items()]
    if n_dropped := int((parts == NOWHERE).sum()):
        lines.append(f"  dropped  {n_dropped:,} rows whose target is missing")
    return "\n".join(lines)


def _of_target(target: Target, labelled: Sequence[Labelled]) -> str:
    line = f"  target   {', '.join(target.names)}: {target.task}"
    if target.task.is_regression:
        return line
    counts = Counter(np.concatenate([one.y[one.parts != NOWHERE] for one in labelled]).tolist())
    shown = [f"{name} {counts[label] / counts.total():.0%}" for label, name in enumerate(target.classes[:10])]
    return f"{line}, {', '.join(shown)}{', ...' if len(target.classes) > 10 else ''}"
