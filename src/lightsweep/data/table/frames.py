"""A data module over whatever can be read as tables: prepared once, mapped by every trial."""

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
import pyarrow as pa
import torch
from torch import Tensor

from lightsweep.data.preprocessing import LIBRARIES, Preprocessing
from lightsweep.data.saved_preprocessing import load_preprocessing
from lightsweep.data.splits import Scaler, Splits
from lightsweep.data.table.cache import made_once
from lightsweep.data.table.labels import Table
from lightsweep.data.table.preparing import FILES, OVERVIEW, TARGET, TableSettings, prepare
from lightsweep.data.table.reading import DECIMALS
from lightsweep.data.target import Target
from lightsweep.data.tensors import TensorDataModule
from lightsweep.errors import ConfigError
from lightsweep.files import shown
from lightsweep.trial.context import in_search
from lightsweep.trial.driver import is_worker

log = logging.getLogger(__name__)


class FrameDataModule(TensorDataModule):
    """A subclass says what it reads, and reads it; the first who asks, of all processes, prepares it below `cache`."""

    def __init__(
        self,
        *,
        target: str | int | list[str | int] | None = None,
        drop: list[str] | None = None,
        task: str | None,
        kinds: dict[str, str] | None = None,
        missing: list[str | int | float] | None = None,
        decimal: str = "point",
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
        self.settings = TableSettings(
            target=target,
            drop=drop,
            task=task,
            kinds=kinds and {str(name): kind for name, kind in kinds.items()},
            missing=None if missing is None else [str(one) for one in missing],
            decimal=DECIMALS[decimal],
            split=split,
            split_by=split_by,
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
        """A name for the data, which can be that of a folder."""

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """What tells the data from other data, and from itself after a change."""

    @abstractmethod
    def tables(self) -> dict[str, Table]:
        """Read the data: "train", and "val" or "test" where they are tables of their own."""

    @property
    def folder(self) -> Path:
        """Where the prepared data lies."""
        if self._folder is None:
            versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
            about = {"data": self.identity(), "settings": vars(self.settings), "versions": versions}
            self._folder = made_once(self.cache, name=self.short_name, about=about, make=self._make)
            _check_complete(self._folder)
            _tell_once(self._folder, is_refit=self.refit)
        return self._folder

    def _make(self, folder: Path) -> None:
        overview = prepare(self.tables(), self.settings, folder)
        pa.default_memory_pool().release_unused()  # Arrow would keep it
        if is_worker() and not _is_told_already(is_refit=self.refit):
            print(overview, file=sys.stderr)

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
        """With these each class counts alike in training: rows / (classes x rows of the class)."""
        if self.weighting is None:
            return None
        if self.task.is_regression:
            raise ConfigError(
                f"data.class_weights is {self.weighting}, but the task is regression, which has no classes: say"
                " data.class_weights=null."
            )
        counts = torch.bincount(self.splits.train[1], minlength=self.d_out)
        return tuple((counts.sum() / (len(counts) * counts)).tolist())


def _check_complete(folder: Path) -> None:
    """Raise `ConfigError` if somebody has deleted a part of what was prepared."""
    if lacking := [name for name in FILES if not (folder / name).is_file()]:
        raise ConfigError(f"{shown(folder)} lacks {lacking[0]}. Delete that folder: it will be prepared again.")


def identity_of(path: Path) -> list[Any]:
    """What changes when a file does."""
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


@lru_cache(maxsize=32)
def _tell_once(folder: Path, *, is_refit: bool) -> None:
    """Of several workers the one that has prepared the data tells what is in it."""
    overview = (folder / OVERVIEW).read_text(encoding="utf-8")
    log.info("%s", overview)
    if not is_worker() and not _is_told_already(is_refit=is_refit):
        print(overview, file=sys.stderr)


def _is_told_already(*, is_refit: bool) -> bool:
    """Whether the trials have told it: the refit of a search knows nothing new."""
    return is_refit and in_search()


@lru_cache(maxsize=4)  # trials of one process share the tensors, and those of one machine the pages behind them
def _mapped_splits(folder: Path) -> Splits:
    train, val, test = (_mapped(folder, name) for name in ("train", "val", "test"))
    d_in = train[0].shape[1]
    unscaled = Scaler(mean=np.zeros(d_in, dtype=np.float32), std=np.ones(d_in, dtype=np.float32))
    return Splits(train=train, val=val if len(val[0]) else None, test=test, scaler=unscaled)


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
