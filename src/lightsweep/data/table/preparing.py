"""Preparation of tables: a matrix and targets per split, in files that every trial maps into memory."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lightsweep.data.preprocessing import PREPROCESSING
from lightsweep.data.splits import Scaler
from lightsweep.data.table.columns import Columns, Kind
from lightsweep.data.table.kinds import infer_columns
from lightsweep.data.table.labels import (
    encode,
    find_target,
    is_missing,
    note_on_spellings,
    read_as_missing,
    target_names,
)
from lightsweep.data.table.overview import FAR_OUTSIDE, notes_on_outliers, overview_of
from lightsweep.data.table.preprocessing import TRANSFORMER, TablePreprocessing, rows_per_block
from lightsweep.data.table.rare_classes import RareClassPolicy, handle_rare_classes
from lightsweep.data.table.source import Table, TableSettings
from lightsweep.data.table.splitting import (
    SPLIT_NAMES,
    TRAIN,
    UNUSED,
    VAL,
    Assignment,
    LabelledTable,
    check_splits,
    split_again,
    split_rows,
)
from lightsweep.data.target import Target
from lightsweep.errors import ConfigError, first_few
from lightsweep.files import write_atomically
from lightsweep.task import Task

# Medians, means and quantiles of a sample of this size are close to those of all rows.
ROWS_TO_FIT = 500_000
VALUES_TO_FIT = 32_000_000

OVERVIEW = "overview.txt"
TARGET = "target.json"
FILES = (OVERVIEW, TARGET, PREPROCESSING, TRANSFORMER, *(f"{part}_{name}.npy" for part in "xy" for name in SPLIT_NAMES))


def prepare(tables: Mapping[str, Table], settings: TableSettings, folder: Path) -> str:
    """Write all splits into the folder and return the overview.

    `tables` has "train", from which "val" and "test" are split unless they are tables of their own. Raises
    `ConfigError` with table, column and row if the tables do not fit the settings.
    """
    tables = {name: table.normalized(settings.dialect) for name, table in tables.items()}
    first = tables["train"]
    selected = [*first.targets] if settings.target is None else settings.target
    names = target_names(selected, [str(name) for name in first.frame.columns], table=first.name)
    features = _features(first, settings, names)
    _check_columns(tables, needed=[*features, *names])
    task = Task(settings.task) if settings.task else None
    target = find_target([*tables.values()], names=names, task=task, kinds=settings.kinds)
    labelled, target, notes = _label(tables, target, settings)
    columns, left_out = infer_columns(
        first.frame,
        names=features,
        kinds=settings.kinds or {},
        dialect=settings.dialect,
        where=first.where,
        is_train=labelled[0].assignment == TRAIN,
        target=first.values(names[0]) if len(names) == 1 else None,
    )
    if not columns.all:
        raise ConfigError(f"{first.name} has no feature column. Drop fewer columns, or set their kinds in data.kinds.")
    preprocessing = _fit(labelled, columns, settings)
    target = _with_scaler(target, labelled, settings, table=first.name)
    notes += notes_on_outliers(labelled, target) if settings.target_scale == "standard" else []
    _write_targets(folder, labelled, target, clip_training=settings.target_scale == "robust")
    _write_matrices(folder, labelled, preprocessing)
    preprocessing.save(folder)
    left_out = {**first.left_out, **left_out}
    overview = overview_of(labelled, target=target, preprocessing=preprocessing, left_out=left_out, notes=notes)
    write_atomically(folder / OVERVIEW, overview)
    return overview


def _features(table: Table, settings: TableSettings, names: Sequence[str]) -> list[str]:
    columns, drop = [str(name) for name in table.frame.columns], settings.drop or ()
    for key, selected in (("drop", drop), ("kinds", settings.kinds or ())):
        if unknown := [name for name in selected if name not in columns]:
            raise ConfigError(f"data.{key} names '{unknown[0]}', but {table.name} has no such column.")
    if wrong := {*drop} & {*names}:
        raise ConfigError(f"data.drop names '{min(wrong)}', which is the target.")
    if settings.split_by in names:
        raise ConfigError(f"data.split_by is '{settings.split_by}', which is the target.")
    return [name for name in columns if name not in {*drop, *names, settings.split_by}]


def _check_columns(tables: Mapping[str, Table], *, needed: Sequence[str]) -> None:
    for table in tables.values():
        if absent := [name for name in needed if name not in table.frame.columns]:
            raise ConfigError(f"{table.name} has no column '{absent[0]}', which {tables['train'].name} has.")


def _label(
    tables: Mapping[str, Table], target: Target, settings: TableSettings
) -> tuple[list[LabelledTable], Target, list[str]]:
    """Encode the targets and assign the rows to splits; with `refit` the validation rows are training rows.

    Return the target without the rare classes, too, and notes on what was done with them.
    """
    how = RareClassPolicy(settings.rare_classes)
    y = [_encode(table, target) for table in tables.values()]
    notes = [note_on_spellings([*tables.values()], target), _note_on_missing(tables, y, target)]
    y, target, few_rows = handle_rare_classes(y, target, minimum=len(SPLIT_NAMES), how=how)
    labelled = _split(tables, y, target, settings)
    used = [np.where(one.assignment == TRAIN, one.y, UNUSED) if target.classes else one.y for one in labelled]
    y, target, untrained = handle_rare_classes(y, target, counted=used, minimum=1, how=how)
    if untrained:
        labelled = [
            replace(one, y=labels, assignment=np.where(labels < 0, UNUSED, one.assignment).astype(np.int8))
            for one, labels in zip(labelled, y, strict=True)
        ]
    if not settings.resampling.is_first:  # after the rare classes, or the test rows would depend on it
        labelled[0] = split_again(labelled[0], target=target, settings=settings)
    check_splits(labelled, target=target, policy=how)
    if settings.refit:
        for one in labelled:
            one.assignment[one.assignment == VAL] = TRAIN
    return labelled, target, [note for note in (*notes, few_rows, untrained) if note]


def _encode(table: Table, target: Target) -> npt.NDArray[Any]:
    """Return the labels or values; rows without a target have -1 or NaN."""
    y = encode(table, target)
    if is_missing(y).all():
        columns = first_few([*map(repr, target.names)])
        raise ConfigError(f"{table.name} has no rows left: the target {columns} is missing in all {len(y)}.")
    return y


def _note_on_missing(tables: Mapping[str, Table], y: Sequence[npt.NDArray[Any]], target: Target) -> str:
    n_missing = sum(int(is_missing(one).sum()) for one in y)
    if not n_missing:
        return ""
    words = read_as_missing([*tables.values()], target.names[0])
    return f"{n_missing:,} rows whose target is missing are left out{words}"


def _split(
    tables: Mapping[str, Table], y: Sequence[npt.NDArray[Any]], target: Target, settings: TableSettings
) -> list[LabelledTable]:
    fractions: dict[str, Any] = {f"{name}_fraction": 0.0 for name in ("val", "test") if name in tables}
    labelled = []
    for (name, table), one in zip(tables.items(), y, strict=True):
        missing = is_missing(one)
        if name == "train" and len(tables) < len(SPLIT_NAMES):
            assignment = split_rows(table, one, ~missing, target=target, settings=replace(settings, **fractions))
        else:
            assignment = np.where(missing, UNUSED, SPLIT_NAMES.index(name)).astype(np.int8)
        labelled.append(LabelledTable(table, one, assignment))
    return labelled


def _typed_blocks(one: LabelledTable, columns: Columns) -> Iterator[tuple[pd.DataFrame, Assignment]]:
    """Yield typed rows and their splits, in blocks that take little memory."""
    n, frame = rows_per_block(len(columns.all)), one.table.frame
    for start in range(0, len(frame), n):
        rows = slice(start, start + n)
        yield columns.typed(frame.iloc[rows], where=one.table.where), one.assignment[rows]


def _fit(labelled: Sequence[LabelledTable], columns: Columns, settings: TableSettings) -> TablePreprocessing:
    """Fit on the levels of all training rows, and on a random sample of these rows."""
    levels: dict[str, set[str]] = {name: set() for name in columns.named(Kind.CATEGORY)}
    n_train = sum(int((one.assignment == TRAIN).sum()) for one in labelled)
    fraction = min(ROWS_TO_FIT, VALUES_TO_FIT // len(columns.all)) / n_train
    rng = np.random.default_rng(settings.seed)
    sample = []
    for one in labelled:
        for typed, splits in _typed_blocks(one, columns):
            train = splits == TRAIN
            for name in levels:
                levels[name].update(typed[name].to_numpy()[train])
            sample.append(typed[train & (rng.random(len(train)) < fraction)])
    return TablePreprocessing.fit(
        pd.concat(sample, ignore_index=True),
        columns=columns,
        levels={name: sorted(found) for name, found in levels.items()},
        scale=settings.scale,
        one_hot_up_to=settings.one_hot_up_to,
        seed=settings.seed,
    )


def _with_scaler(target: Target, labelled: Sequence[LabelledTable], settings: TableSettings, *, table: str) -> Target:
    if not target.task.is_regression:
        return target
    y = np.concatenate([one.y[one.assignment == TRAIN] for one in labelled])
    for name, lowest, highest in zip(target.names, y.min(axis=0), y.max(axis=0), strict=True):
        if lowest == highest:
            raise ConfigError(
                f"{table}, column '{name}' is constant: it is {lowest:g} in every row for training."
                " Choose another data.target."
            )
    return replace(target, scaler=Scaler.robust(y) if settings.target_scale == "robust" else Scaler.of(y))


def _write_targets(folder: Path, labelled: Sequence[LabelledTable], target: Target, *, clip_training: bool) -> None:
    """Write labels or scaled values; `clip_training` limits the values of the training rows to `FAR_OUTSIDE`."""
    for split, name in enumerate(SPLIT_NAMES):
        y = np.concatenate([one.y[one.assignment == split] for one in labelled])
        if target.scaler is not None:
            y = target.scaler.transform(y)
            y = y.clip(-FAR_OUTSIDE, FAR_OUTSIDE) if clip_training and split == TRAIN else y
        np.save(folder / f"y_{name}.npy", y, allow_pickle=False)
    write_atomically(folder / TARGET, json.dumps(target.to_record()))


def _write_matrices(folder: Path, labelled: Sequence[LabelledTable], preprocessing: TablePreprocessing) -> None:
    """Write block by block to plain files; pages of a mapped file would count as memory of the process."""
    with ExitStack() as stack:
        files = [stack.enter_context((folder / f"x_{name}.npy").open("wb")) for name in SPLIT_NAMES]
        for split, file in enumerate(files):
            n = sum(int((one.assignment == split).sum()) for one in labelled)
            header = {"descr": "<f4", "fortran_order": False, "shape": (n, preprocessing.d_in)}
            np.lib.format.write_array_header_1_0(file, header)
        for one in labelled:
            for typed, splits in _typed_blocks(one, preprocessing.columns):
                matrix = preprocessing.matrix_of(typed)
                for split, file in enumerate(files):
                    file.write(np.ascontiguousarray(matrix[splits == split]).data)
