"""`data=table`: your own table, in a file or three."""

import importlib.metadata
import json
import logging
import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightsweep.data.preprocessing import Preprocessing, load_preprocessing
from lightsweep.data.splits import Scaler, Splits
from lightsweep.data.table.cache import made_once
from lightsweep.data.table.labels import Table
from lightsweep.data.table.preparing import OVERVIEW, TARGET, TableSettings, prepare
from lightsweep.data.table.reading import check_file, place, read_frame
from lightsweep.data.table.splitting import Split
from lightsweep.data.target import Target
from lightsweep.data.tensors import TensorDataModule
from lightsweep.task import Task

log = logging.getLogger(__name__)


class FrameDataModule(TensorDataModule):
    """Whatever can be read as tables, prepared once for all processes below `cache`.

    A subclass says what it reads, and reads it.
    """

    def __init__(
        self,
        *,
        settings: TableSettings,
        class_weights: str | None,
        cache: str,
        relative_to: str,
        batch_size: int,
        shuffle: bool,
    ) -> None:
        super().__init__(batch_size=batch_size, shuffle=shuffle, seed=settings.seed, refit=settings.refit)
        self.settings = settings
        self.weighting = class_weights
        self.relative_to = Path(relative_to)
        self.cache = self.relative_to / cache

    @property
    @abstractmethod
    def name(self) -> str:
        """A short name for the data, which can be that of a folder."""

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """What tells the data from other data, and from itself after a change."""

    @abstractmethod
    def tables(self) -> dict[str, Table]:
        """Read the data: "train", and "val" or "test" where they are tables of their own."""

    @property
    def folder(self) -> Path:
        """Where the prepared data lies. The first to ask, of all processes, prepares it."""
        if self._folder is None:
            about = {**self.identity(), **vars(self.settings), "versions": _versions()}
            self._folder = made_once(self.cache, name=self.name, about=about, make=self._make)
            _log_once(self._folder)
        return self._folder

    _folder: Path | None = None

    def _make(self, folder: Path) -> None:
        print(prepare(self.tables(), self.settings, folder), file=sys.stderr)

    @property
    def splits(self) -> Splits:
        return _mapped_splits(self.folder)

    @property
    def target(self) -> Target:
        return _read_target(self.folder)

    @property
    def classes(self) -> Sequence[int | str]:  # type: ignore[override]
        return self.target.classes

    @property
    def preprocessing(self) -> Preprocessing:
        return _read_preprocessing(self.folder)

    @property
    def class_weights(self) -> tuple[float, ...] | None:
        """A weight per class, with which each class counts alike in training: rows / (classes x rows of the class)."""
        if self.weighting is None or self.task.is_regression:
            return None
        counts = torch.bincount(self.splits.train[1], minlength=self.d_out)
        return tuple((counts.sum() / (len(counts) * counts)).tolist())


class TableDataModule(FrameDataModule):
    """A CSV, TSV, Parquet or Feather file, which is cut into splits as far as they are not files of their own."""

    def __init__(
        self,
        *,
        path: str,
        val_path: str | None,
        test_path: str | None,
        target: str | int | list[str | int],
        drop: list[str] | None,
        task: str | None,
        kinds: dict[str, str] | None,
        split: str | None,
        split_by: str | None,
        val_fraction: float,
        test_fraction: float,
        scale: str,
        one_hot_up_to: int,
        class_weights: str | None,
        cache: str,
        relative_to: str,
        batch_size: int,
        shuffle: bool,
        seed: int,
        refit: bool,
    ) -> None:
        settings = TableSettings(
            target=target,
            drop=tuple(drop or ()),
            task=task and Task(task),
            kinds=kinds or {},
            split=split and Split(split),
            split_by=split_by,
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            scale=scale,
            one_hot_up_to=one_hot_up_to,
            seed=seed,
            refit=refit,
        )
        super().__init__(
            settings=settings,
            class_weights=class_weights,
            cache=cache,
            relative_to=relative_to,
            batch_size=batch_size,
            shuffle=shuffle,
        )
        given = {"train": path, "val": val_path, "test": test_path}
        self.given = {name: Path(one) for name, one in given.items() if one}

    @property
    def name(self) -> str:
        return self.given["train"].name.split(".")[0]

    def identity(self) -> Mapping[str, Any]:
        return {name: identity_of(self.relative_to / path) for name, path in self.given.items()}

    def tables(self) -> dict[str, Table]:
        as_text = [name for name, kind in self.settings.kinds.items() if kind != "number"]
        return {
            name: Table(
                str(path),
                read_frame(self.relative_to / path, text=as_text),
                lambda row, path=path: place(self.relative_to / path, row, name=str(path)),
            )
            for name, path in self.given.items()
        }


def identity_of(path: Path) -> list[Any]:
    """What changes when a file does. Raises `ConfigError` if it can't be read."""
    check_file(path)
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("scikit-learn", "skops", "pandas", "pyarrow")}


@lru_cache(maxsize=32)
def _log_once(folder: Path) -> None:
    log.info("%s", (folder / OVERVIEW).read_text(encoding="utf-8"))


@lru_cache(maxsize=4)  # trials of one process share the pages as well as the objects
def _mapped_splits(folder: Path) -> Splits:
    train, val, test = (_mapped(folder, name) for name in ("train", "val", "test"))
    d_in = train[0].shape[1]
    # The preprocessing has scaled already.
    scaler = Scaler(mean=np.zeros(d_in, dtype=np.float32), std=np.ones(d_in, dtype=np.float32))
    return Splits(train=train, val=val if len(val[0]) else None, test=test, scaler=scaler)


def _mapped(folder: Path, name: str) -> tuple[Tensor, Tensor]:
    # Copy on write: torch wants to be allowed to write, and nobody else would see it.
    x, y = (np.load(folder / f"{part}_{name}.npy", mmap_mode="c", allow_pickle=False) for part in "xy")
    return torch.from_numpy(x), torch.from_numpy(y)


@lru_cache(maxsize=4)
def _read_target(folder: Path) -> Target:
    return Target.from_record(json.loads((folder / TARGET).read_text(encoding="utf-8")))


@lru_cache(maxsize=4)
def _read_preprocessing(folder: Path) -> Preprocessing:
    return load_preprocessing(folder)
