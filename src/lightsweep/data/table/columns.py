"""The columns that a model takes, and the conversion of a table to typed columns."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from lightsweep.data.reading.dialect import Dialect
from lightsweep.data.reading.spelling import normalized
from lightsweep.data.table.values import (
    RowLocator,
    check_no_codes,
    check_not_nested,
    check_zones,
    date_parts,
    to_arrow,
    to_booleans,
    to_days,
    to_floats,
    to_former_level,
    to_level,
    to_texts,
)
from lightsweep.errors import ConfigError, first_few


class Kind(StrEnum):
    NUMBER = "number"
    CATEGORY = "category"
    BOOLEAN = "boolean"
    DATE = "date"


@dataclass(frozen=True)
class Column:
    """One column of a table; `why` is the reason for its kind if that could be doubted.

    Of dates, `date_format` is set for texts, `has_time` if they have hours, and `has_zone` if they have a time zone
    (None: not known). `unit` is the sign beside the numbers of a text. `width` is the number of digits of codes that
    all have the same, so that 1234 is 01234. `refuses_codes` is set for numbers whose kind was inferred: 01234 is none.
    """

    name: str
    kind: Kind
    date_format: str | None = None
    has_time: bool = False
    has_zone: bool | None = None
    unit: str | None = None
    width: int = 0
    refuses_codes: bool = False
    why: str = ""

    @property
    def typed_names(self) -> list[str]:
        """The columns that `typed` gives: several for a date."""
        if self.kind is not Kind.DATE:
            return [self.name]
        return [f"{self.name} ({part})" for part in ("days", "month", "weekday", *(["hour"] if self.has_time else []))]

    def typed(
        self, values: pa.Array, *, where: RowLocator, spell: Callable[[Any], str] = to_level
    ) -> dict[str, npt.NDArray[Any]]:
        """Convert the values, those of a category by `spell`; raises `ConfigError` at the first that does not fit."""
        check_not_nested(values, name=self.name, where=where, remedy="Write it as in training.")
        if self.kind is Kind.CATEGORY:
            return {self.name: to_texts(values, lambda value: self._code(spell(value)))}
        if self.kind is Kind.BOOLEAN:
            return {self.name: to_booleans(values, name=self.name, where=where)}
        if self.kind is Kind.DATE:
            if self.has_zone is not None:
                check_zones(values, has_zone=self.has_zone, name=self.name, where=where)
            days = to_days(values, date_format=self.date_format, name=self.name, where=where)
            return dict(zip(self.typed_names, date_parts(days), strict=False))
        if self.refuses_codes:
            check_no_codes(values, name=self.name, where=where)
        return {self.name: to_floats(values, name=self.name, where=where, unit=self.unit)}

    def _code(self, level: str) -> str:
        return level.zfill(self.width) if level.isdecimal() else level


@dataclass(frozen=True)
class Columns:
    """The columns that a model takes; a table may have others, and any order.

    `is_normalized` is False for a model of an earlier version, which knows names and levels as its file had them.
    """

    all: tuple[Column, ...]
    dialect: Dialect = field(default_factory=Dialect)
    is_normalized: bool = True

    def named(self, kind: Kind) -> list[str]:
        return [column.name for column in self.all if column.kind is kind]

    @property
    def numeric_names(self) -> list[str]:
        """The typed columns with numbers, including the parts of dates."""
        return [name for column in self.all for name in column.typed_names if column.kind in (Kind.NUMBER, Kind.DATE)]

    @property
    def typed_names(self) -> list[str]:
        return [name for column in self.all for name in column.typed_names]

    def typed(self, frame: pd.DataFrame, *, where: RowLocator | None = None) -> pd.DataFrame:
        """Return floats with NaN for missing, several for a date, and text with "" for missing.

        `where` takes the frame's index, which must be numeric then. Raises `ConfigError` if a column is missing, or a
        value does not fit its column.
        """
        found = self._positions(frame)
        if absent := [repr(name) for name, positions in found.items() if not positions]:
            raise ConfigError(f"the table has no column {first_few(absent, between=' and no column ')}.")
        if twice := [name for name, positions in found.items() if len(positions) > 1]:
            raise ConfigError(f"the table has more than one column '{twice[0]}'.")

        def locate(i: int) -> str:
            return where(int(frame.index[i])) if where else f"row {i} (counted from 0)"

        typed: dict[str, npt.NDArray[Any]] = {}
        for column in self.all:
            values = to_arrow(frame.iloc[:, found[column.name][0]], self.dialect)
            spell = to_level if self.is_normalized else to_former_level
            typed.update(column.typed(values, where=locate, spell=spell))
        return pd.DataFrame(typed, index=frame.index, copy=False)

    def _positions(self, frame: pd.DataFrame) -> dict[str, list[int]]:
        """Return the positions of each column in the frame, where its name may be spelled in another way."""
        exact: dict[str, list[int]] = {}
        alike: dict[str, list[int]] = {}
        for i, name in enumerate(frame.columns):
            if isinstance(name, str):
                exact.setdefault(name, []).append(i)
                alike.setdefault(normalized(name), []).append(i)
        first = {} if self.is_normalized else exact
        return {name: first.get(name) or alike.get(normalized(name), []) for name in (one.name for one in self.all)}

    def to_record(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        return {
            "columns": [asdict(column) for column in self.all],
            **self.dialect.to_record(),
            "normalized": self.is_normalized,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Columns":
        columns = (Column(**{**column, "kind": Kind(column["kind"])}) for column in record["columns"])
        return cls(tuple(columns), Dialect.from_record(record), record.get("normalized") is True)
