"""Data modules over tables; `data=table` reads one to three files."""

import importlib.metadata
import json
import logging
import sys
from abc import abstractmethod
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor

from lightsweep.config.validation import is_encoding
from lightsweep.data.preprocessing import LIBRARIES, Preprocessing
from lightsweep.data.reading.dialect import DECIMALS, Dialect
from lightsweep.data.reading.frames import check_file, column_names, missing_texts, read_frame, row_location
from lightsweep.data.reading.spelling import normalized
from lightsweep.data.saved_preprocessing import load_preprocessing
from lightsweep.data.splits import Scaler, Splits
from lightsweep.data.table.cache import cached_folder
from lightsweep.data.table.labels import target_names
from lightsweep.data.table.preparing import FILES, OVERVIEW, TARGET, prepare
from lightsweep.data.table.source import Table, TableSettings
from lightsweep.data.table.values import is_text_type
from lightsweep.data.target import Target
from lightsweep.data.tensors import TensorDataModule
from lightsweep.errors import ConfigError
from lightsweep.files import shown
from lightsweep.task import Task
from lightsweep.trial.context import in_search
from lightsweep.trial.driver import is_worker

log = logging.getLogger(__name__)

NOTE_ON_WEIGHTS = (
    "  note      data.class_weights=balanced: probabilities are those of equally frequent classes;"
    " predict_proba(rows, calibrated=True) gives those of the data"
)


class FrameDataModule(TensorDataModule):
    """Tables of any source, which a subclass reads; they are prepared once in `cache`, for all processes."""

    def __init__(
        self,
        *,
        target: str | int | list[str | int] | None = None,
        drop: list[str] | None = None,
        task: str | None,
        kinds: dict[str, str] | None = None,
        missing: list[str | int | float] | None = None,
        decimal: str = "point",
        thousands: str | None = None,
        encoding: str | None = None,
        rare_classes: str = "refuse",
        target_scale: str = "standard",
        split: str | None,
        split_by: str | None = None,
        val_fraction: float,
        test_fraction: float,
        scale: str,
        one_hot_up_to: int = 0,
        class_weights: str | None,
        cache: str,
        relative_to: str,
        batch_size: int,
        shuffle: bool,
        seed: int,
        refit: bool,
    ) -> None:
        super().__init__(batch_size=batch_size, shuffle=shuffle, seed=seed, refit=refit)
        if thousands == decimal:
            raise ConfigError(
                f"data.thousands and data.decimal are both {decimal}. Set data.decimal to the other sign."
            )
        if encoding is not None and not is_encoding(encoding):
            raise ConfigError(
                f"data.encoding is {encoding}; it must be a text encoding that Python knows, such as latin-1 or utf-16."
            )
        self.settings = TableSettings(
            target=target,
            drop=drop and [normalized(name) for name in drop],
            task=task,
            kinds=kinds and {normalized(str(name)): kind for name, kind in kinds.items()},
            dialect=Dialect(
                missing=None if missing is None else tuple(map(str, missing)),
                decimal=DECIMALS[decimal],
                thousands=thousands,
                encoding=encoding,
            ),
            rare_classes=rare_classes,
            target_scale=target_scale,
            split=split,
            split_by=split_by and normalized(split_by),
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            scale=scale,
            one_hot_up_to=one_hot_up_to,
            seed=seed,
            refit=refit,
        )
        self.weighting = class_weights
        self.relative_to = Path(relative_to)
        self.cache = self.relative_to / cache
        self._folder: Path | None = None

    @property
    @abstractmethod
    def short_name(self) -> str:
        """A name for the data that can begin the name of a folder."""

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Return what differs between data sets, and between versions of one."""

    @abstractmethod
    def tables(self) -> dict[str, Table]:
        """Read "train", and "val" or "test" where they are tables of their own."""

    @property
    def folder(self) -> Path:
        """The folder of the prepared data."""
        if self._folder is None:
            versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
            key = {"data": self.identity(), "settings": vars(self.settings), "versions": versions}
            self._folder = cached_folder(self.cache, name=self.short_name, key=key, make=self._prepare)
            if absent := [name for name in FILES if not (self._folder / name).is_file()]:
                raise ConfigError(f"{shown(self._folder)} lacks {absent[0]}. Delete that folder to prepare it again.")
            _show_overview_once(self._folder, is_refit=self.refit, is_weighted=self.weighting is not None)
        return self._folder

    def _prepare(self, folder: Path) -> None:
        overview = prepare(self.tables(), self.settings, folder)
        pa.default_memory_pool().release_unused()  # otherwise Arrow keeps the memory
        if is_worker() and not _trials_have_shown_it(is_refit=self.refit):
            print(overview, file=sys.stderr)

    @property
    def splits(self) -> Splits:
        return _mapped_splits(self.folder)

    @property
    def target(self) -> Target:
        return replace(_read_target(self.folder), weights=self.class_weights or ())

    @property
    def classes(self) -> Sequence[int | str]:  # type: ignore[override]
        return self.target.classes

    @property
    def preprocessing(self) -> Preprocessing:
        return _read_preprocessing(self.folder)

    @property
    def class_weights(self) -> tuple[float, ...] | None:
        """Weights that balance the classes in training: rows / (classes * rows of the class)."""
        if self.weighting is None:
            return None
        if _read_target(self.folder).task.is_regression:
            raise ConfigError(
                f"data.class_weights is {self.weighting}, but the task is regression, which has no classes: set"
                " data.class_weights=null."
            )
        return _balanced_weights(self.folder)


class TableDataModule(FrameDataModule):
    """CSV, TSV, Parquet or Feather files; validation and test rows are split from `path` unless they have a file."""

    def __init__(self, *, path: str, val_path: str | None, test_path: str | None, **table: Any) -> None:
        super().__init__(**table)
        paths = {"train": path, "val": val_path, "test": test_path}
        self.paths = {name: self.relative_to / one for name, one in paths.items() if one}

    @property
    def short_name(self) -> str:
        return self.paths["train"].name.split(".")[0]

    def identity(self) -> Mapping[str, Any]:
        for name, path in self.paths.items():
            try:
                check_file(path)
            except ConfigError as error:
                key = "data.path" if name == "train" else f"data.{name}_path"
                raise ConfigError(f"{key}: {error}") from None
        return {name: file_identity(path) for name, path in self.paths.items()}

    def tables(self) -> dict[str, Table]:
        # Columns of another kind, and columns that are text in the first file, keep their spelling: 01234 is not 1234.
        settings = self.settings
        as_text: set[Hashable] = {name for name, kind in (settings.kinds or {}).items() if kind != "number"}
        untyped = self._class_columns()
        as_text |= untyped
        tables = {}
        for name, path in self.paths.items():
            frame = read_frame(path, text=as_text, dialect=settings.dialect)
            as_text |= {column for column, kind in frame.dtypes.items() if is_text_type(kind.pyarrow_dtype)}
            tables[name] = self._table(path, frame, untyped=untyped)
        return tables

    def _class_columns(self) -> set[str]:
        """Return the target column of a text file, which keeps its spelling because it may hold names of classes."""
        names = column_names(self.paths["train"], dialect=self.settings.dialect)
        if not names or self.settings.task == Task.REGRESSION:
            return set()
        selected = [] if self.settings.target is None else self.settings.target
        targets = target_names(selected, [name for name in names if name], table=shown(self.paths["train"]))
        return {*targets} if len(targets) == 1 else set()

    def _table(self, path: Path, frame: pd.DataFrame, *, untyped: Collection[str]) -> Table:
        dialect = self.settings.dialect
        unnamed = "" in column_names(path, dialect=dialect)
        return Table(
            shown(path),
            frame,
            partial(row_location, path, dialect=dialect),
            left_out={"a column without a name": "assumed to be a saved index"} if unnamed else {},
            untyped=untyped,
            missing_texts=partial(missing_texts, path, dialect=dialect),
        )


def file_identity(path: Path) -> list[Any]:
    """Return values that change when the file changes."""
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


@lru_cache(maxsize=32)
def _show_overview_once(folder: Path, *, is_refit: bool, is_weighted: bool) -> None:
    """Log the overview, and print it unless this is a worker; workers print it only when they prepare the data."""
    overview = (folder / OVERVIEW).read_text(encoding="utf-8") + (f"\n{NOTE_ON_WEIGHTS}" if is_weighted else "")
    log.info("%s", overview)
    if not is_worker() and not _trials_have_shown_it(is_refit=is_refit):
        print(overview, file=sys.stderr)


def _trials_have_shown_it(*, is_refit: bool) -> bool:
    return is_refit and in_search()


@lru_cache(maxsize=4)  # the trials of a process share the tensors, the processes of a machine the mapped pages
def _mapped_splits(folder: Path) -> Splits:
    train, val, test = (_mapped(folder, name) for name in ("train", "val", "test"))
    d_in = train[0].shape[1]
    unscaled = Scaler(mean=np.zeros(d_in, dtype=np.float32), std=np.ones(d_in, dtype=np.float32))
    return Splits(train=train, val=val if len(val[0]) else None, test=test, scaler=unscaled)


def _mapped(folder: Path, name: str) -> tuple[Tensor, Tensor]:
    # torch warns of read-only arrays, so the mapping is copy on write.
    x, y = (np.load(folder / f"{part}_{name}.npy", mmap_mode="c", allow_pickle=False) for part in "xy")
    return torch.from_numpy(x), torch.from_numpy(y)


@lru_cache(maxsize=4)
def _balanced_weights(folder: Path) -> tuple[float, ...]:
    counts = torch.bincount(_mapped_splits(folder).train[1], minlength=_read_target(folder).d_out)
    return tuple((counts.sum() / (len(counts) * counts)).tolist())


@lru_cache(maxsize=4)
def _read_target(folder: Path) -> Target:
    return Target.from_record(json.loads((folder / TARGET).read_text(encoding="utf-8")))


_read_preprocessing = lru_cache(maxsize=4)(load_preprocessing)
