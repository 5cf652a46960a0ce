"""A table as it was read, and the settings to prepare it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import pyarrow as pa

from lightsweep.data.reading.dialect import Dialect
from lightsweep.data.reading.spelling import normalized
from lightsweep.data.reading.text_file import check_names
from lightsweep.data.resampling import FIRST_SPLIT, Resampling
from lightsweep.data.table.values import RowLocator, check_not_nested, to_arrow


@dataclass(frozen=True)
class Table:
    """A frame whose index numbers the rows for `where`; `targets` are the target columns if `data.target` is null.

    `left_out` maps ignored columns to the reason.
    `untyped` are columns of a text file that are text to keep their spelling, and may hold numbers. `missing_texts`
    counts the texts in a column that were read as missing.
    """

    name: str
    frame: pd.DataFrame
    where: RowLocator
    targets: Sequence[str] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    dialect: Dialect = field(default_factory=Dialect)
    untyped: Collection[str] = ()
    missing_texts: Callable[[str], Mapping[str, int]] = lambda column: {}

    def normalized(self, dialect: Dialect) -> "Table":
        """Return it with this dialect and normalized names; raises `ConfigError` if two names become one."""
        names = [normalized(str(name)) for name in self.frame.columns]
        check_names(names, where=self.name)
        targets = [normalized(name) for name in self.targets]
        frame = self.frame if names == [*self.frame.columns] else self.frame.set_axis(names, axis=1)  # a copy
        return replace(self, frame=frame, targets=targets, dialect=dialect)

    def location(self, i: int) -> str:
        return self.where(int(self.frame.index[i]))

    def values(self, name: str) -> pa.Array:
        """Return a column; raises `ConfigError` if it can be neither a target nor a column to split by."""
        values = to_arrow(self.frame[name], self.dialect)
        check_not_nested(values, name=name, where=self.location, remedy="Choose another column.")
        return values


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """The keys of `conf/data/table.yaml` that decide how a table becomes tensors."""

    target: Any
    task: str | None
    split: str | None
    val_fraction: float
    test_fraction: float
    scale: str
    one_hot_up_to: int = 0
    drop: Sequence[str] | None = None
    kinds: Mapping[str, str] | None = None
    dialect: Dialect
    rare_classes: str = "refuse"
    target_scale: str = "standard"
    split_by: str | None = None
    seed: int
    refit: bool
    resampling: Resampling = FIRST_SPLIT
