"""Data modules over tables; `data=table` reads one to three files."""

import importlib.metadata
import logging
import sys
from abc import abstractmethod
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from lightsweep.config.validation import is_encoding
from lightsweep.data.preprocessing import LIBRARIES, Preprocessing
from lightsweep.data.reading.dialect import DECIMALS, Dialect
from lightsweep.data.reading.frames import check_file, column_names, missing_texts, read_frame, row_location
from lightsweep.data.reading.spelling import normalized
from lightsweep.data.resampling import FIRST_SPLIT
from lightsweep.data.splits import Splits
from lightsweep.data.table.cache import PreparedTable, cached_folder, prepared_table, temporary_folder
from lightsweep.data.table.labels import target_names
from lightsweep.data.table.preparing import FILES, OVERVIEW, prepare
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
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.check_resampling(split=split)
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
            seed=self.seed,
            refit=self.refit,
            resampling=self.resampling,
        )
        self.weighting = class_weights
        self.relative_to = Path(relative_to)
        self.cache = self.relative_to / cache
        self._folder: Path | None = None
        self._prepared: PreparedTable | None = None

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
        """The folder of the prepared data, which has the first split whatever `resampling` is."""
        if self._folder is None:
            versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
            settings = {key: value for key, value in vars(self.settings).items() if key != "resampling"}
            key = {"data": self.identity(), "settings": settings, "versions": versions}
            self._folder = cached_folder(self.cache, name=self.short_name, key=key, make=self._prepare_first)
            if absent := [name for name in FILES if not (self._folder / name).is_file()]:
                raise ConfigError(f"{shown(self._folder)} lacks {absent[0]}. Delete that folder to prepare it again.")
            _show_overview_once(self._folder, is_refit=self.refit, is_weighted=self.weighting is not None)
        return self._folder

    def _prepare_first(self, folder: Path) -> None:
        overview = prepare(self.tables(), replace(self.settings, resampling=FIRST_SPLIT), folder)
        pa.default_memory_pool().release_unused()  # otherwise Arrow keeps the memory
        if is_worker() and not _trials_have_shown_it(is_refit=self.refit):
            print(overview, file=sys.stderr)

    @property
    def prepared(self) -> PreparedTable:
        if self._prepared is None:
            first = prepared_table(self.folder)  # it also shows the overview, once for all splits
            self._prepared = first if self.resampling.is_first else self._prepare_again()
        return self._prepared

    def _prepare_again(self) -> PreparedTable:
        """Prepare another split. It is not kept on disk, because each trial may have its own; its tables are kept."""
        with temporary_folder(self.cache, name=f"{self.folder.name}-again") as folder:
            prepare(_tables_of(_Source(self.folder, self.tables)), self.settings, folder)
            return PreparedTable(folder).load()

    @property
    def splits(self) -> Splits:
        return self.prepared.splits

    @property
    def target(self) -> Target:
        return replace(self.prepared.target, weights=self.class_weights or ())

    @property
    def classes(self) -> Sequence[int | str]:  # type: ignore[override]
        return self.target.classes

    @property
    def preprocessing(self) -> Preprocessing:
        return self.prepared.preprocessing

    @property
    def class_weights(self) -> tuple[float, ...] | None:
        """Weights that balance the classes in training."""
        if self.weighting is None:
            return None
        if self.prepared.target.task.is_regression:
            raise ConfigError(
                f"data.class_weights is {self.weighting}, but the task is regression, which has no classes: set"
                " data.class_weights=null."
            )
        return self.prepared.balanced_weights


class TableDataModule(FrameDataModule):
    """CSV, TSV, Parquet or Feather files; validation and test rows are split from `path` unless they have a file."""

    def __init__(self, *, path: str, val_path: str | None, test_path: str | None, **table: Any) -> None:
        super().__init__(**table)
        self.check_resampling(val_path=val_path)
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


@dataclass(frozen=True)
class _Source:
    """The tables behind a folder; `read` reads them."""

    folder: Path
    read: Callable[[], dict[str, Table]] = field(compare=False)


@lru_cache(maxsize=1)  # so that the next trial of a process splits them in another way without reading the files
def _tables_of(source: _Source) -> dict[str, Table]:
    return source.read()


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
