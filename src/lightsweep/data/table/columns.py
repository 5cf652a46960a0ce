"""What the columns of a table are, and the cells as plain floats and texts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lightsweep.data.table.values import (
    Where,
    arrow_of,
    date_parts,
    days_of,
    is_date_type,
    is_number_type,
    is_text_type,
    numbers_of,
    refuse_nested,
    texts_of,
    truths_of,
    without,
)
from lightsweep.errors import ConfigError, first_few

DATE_FORMATS = (
    *("ISO8601", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y"),
    *("%m/%d/%y", "%d/%m/%y", "%b %d, %Y", "%d %b %Y"),
)
PAIRS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"})
NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
NEARLY_NUMBER = r"^\s*[-+]?\s*[€$£]?\s*[-+]?\d[\d.,' ]*([eE][-+]?\d+)?\s*[%€$£]?\s*$"
WITH_THOUSANDS = r"^\s*[-+]?\d{1,3}(,\d{3})+(\.\d*)?\s*$"
PLAIN_DATE = r"^\s*\d{4}-\d{2}-\d{2}"
ROW_NAME = re.compile(r"unnamed: ?\d+|(.*[_ ])?(id|index|idx|key|no|nr|row|rownum|number)|.*Id", re.IGNORECASE)
LIKE_THIS = {
    "numbers": "like -1234.5, or say data.decimal=comma for 1234,5",
    "thousands": "like -1234.5, or, if it is a decimal comma, say data.decimal=comma",
    "dates": "in one way, like 2024-12-31",
}
NEARLY = 0.5
MOSTLY = 0.9  # a column of texts of which so many are numbers, or dates, is one with wrong cells
MAX_LEVELS_OF_ROWS = 0.5  # a text column with more levels than that names its rows
FEW_LEVELS = 50  # that few are never too many

A_FEW = 100  # cells
MAX_SPELLINGS = 6  # of true and false: Yes, yes, YES, ...


class Kind(StrEnum):
    NUMBER = "number"
    CATEGORY = "category"
    BOOLEAN = "boolean"
    DATE = "date"


@dataclass(frozen=True)
class Column:
    """`date_format` is that of dates that are written as text; `has_time` says whether they have hours."""

    name: str
    kind: Kind
    date_format: str | None = None
    has_time: bool = False

    @property
    def parts(self) -> list[str]:
        """The names of the numbers that a date becomes."""
        return [f"{self.name} ({part})" for part in ("days", "month", "weekday", *(["hour"] if self.has_time else []))]


@dataclass(frozen=True)
class Columns:
    """The columns that a model takes, whatever else a table has and in whatever order.

    `missing` has the cells that are missing, None if those are that a text file is read without; with `decimal` such a
    file writes its numbers.
    """

    all: tuple[Column, ...]
    missing: tuple[str, ...] | None = None
    decimal: str = "."

    def named(self, kind: Kind) -> list[str]:
        return [column.name for column in self.all if column.kind is kind]

    @property
    def numbers(self) -> list[str]:
        """The typed columns of numbers, those of dates among them."""
        return [name for c in self.all for name in _names_of(c) if c.kind in (Kind.NUMBER, Kind.DATE)]

    @property
    def typed_names(self) -> list[str]:
        """The columns that `typed` gives."""
        return [name for column in self.all for name in _names_of(column)]

    def typed(self, frame: pd.DataFrame, *, where: Where | None = None) -> pd.DataFrame:
        """Floats with NaN for missing, dates as several of them, and texts with "" for missing.

        `where` takes the frame's index, which must be numbers then. Raises `ConfigError` if a column is missing, or a
        cell is not what its column holds.
        """
        if missing := [repr(column.name) for column in self.all if column.name not in frame.columns]:
            raise ConfigError(f"the table has no column {first_few(missing, between=' and no column ')}.")
        if twice := [column.name for column in self.all if frame.columns.tolist().count(column.name) > 1]:
            raise ConfigError(f"the table has more than one column '{twice[0]}'.")
        cells: dict[str, npt.NDArray[Any]] = {}
        for column in self.all:
            cells.update(_typed(column, cells_of(frame[column.name], self.missing), frame.index, where))
        return pd.DataFrame(cells, index=frame.index, copy=False)

    def to_record(self) -> dict[str, Any]:
        return {
            "columns": [asdict(column) for column in self.all],
            "missing": self.missing and [*self.missing],
            "decimal": self.decimal,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Columns":
        missing = record.get("missing")
        columns = (Column(**{**column, "kind": Kind(column["kind"])}) for column in record["columns"])
        decimal = "," if record.get("decimal") == "," else "."
        return cls(tuple(columns), None if missing is None else tuple(map(str, missing)), decimal)


def cells_of(series: "pd.Series[Any]", missing: Sequence[str] | None) -> pa.Array:
    cells = arrow_of(series)
    return without(cells, missing) if missing else cells


def find_columns(
    frame: pd.DataFrame,
    *,
    names: Sequence[str],
    kinds: Mapping[str, str],
    missing: Sequence[str] | None = None,
    where: Where,
) -> tuple[Columns, dict[str, str]]:
    """Find the kind of each column, or take it from `kinds`; gives also which were left out, and why.

    Raises `ConfigError` if a column can be no feature.
    """
    found: list[Column] = []
    left_out: dict[str, str] = {}
    for name in names:
        cells = cells_of(frame[name], missing)
        column = _found(cells, name=name, kind=kinds.get(name), where=lambda i: where(int(frame.index[i])))
        if isinstance(column, Column):
            found.append(column)
        else:
            left_out[name] = column
    _check_parts_of_dates(found)
    return Columns(tuple(found), None if missing is None else tuple(missing)), left_out


def _check_parts_of_dates(columns: Sequence[Column]) -> None:
    names = {column.name for column in columns}
    for column in columns:
        if column.kind is Kind.DATE and (same := names & {*column.parts}):
            raise ConfigError(
                f"column '{min(same)}' is named like a part of the date '{column.name}'. Rename one of them, or add"
                " one to data.drop."
            )


def _found(cells: pa.Array, *, name: str, kind: str | None, where: Where) -> Column | str:
    if cells.null_count == len(cells):
        return "all missing"
    refuse_nested(cells, name=name, where=where, remedy=f"Leave it out: data.drop=[{name}].")
    if kind is None:
        if _numbers_rows(cells, name=name):
            return "numbers the rows"
        kind = _kind_of(cells, name=name, where=where)
        if kind is None:
            return "names the rows: most have a value of their own"
    if kind == Kind.DATE:
        return _found_date(cells, name=name, where=where)
    return Column(name, Kind(kind))


def _numbers_rows(cells: pa.Array, *, name: str) -> bool:
    """Whether a column counts on from row to row, and is named as such columns are."""
    if not ROW_NAME.fullmatch(name.strip()) or not is_number_type(cells.type) or cells.null_count:
        return False
    numbers = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return bool((np.diff(numbers) == 1).all())


def _kind_of(cells: pa.Array, *, name: str, where: Where) -> Kind | None:
    """None if nearly each row has a value of its own."""
    if pa.types.is_boolean(cells.type):
        return Kind.BOOLEAN
    if is_number_type(cells.type):
        return Kind.NUMBER
    if is_date_type(cells.type):
        return Kind.DATE
    if not is_text_type(cells.type):
        raise ConfigError(
            f"{where(0)}, column '{name}' holds {cells.type}, which can be no feature."
            f" Add it to data.drop, or say data.kinds={{{name}:category}}."
        )
    levels = cells.unique().drop_null()
    if len(levels) <= MAX_SPELLINGS and {level.strip().lower() for level in levels.to_pylist()} in PAIRS:
        return Kind.BOOLEAN
    refuse_mixed(cells, name=name, where=where, remedy=f"say data.kinds={{{name}:category}}")
    remedy = f"say data.kinds={{{name}:category}} or data.drop=[{name}]"
    if _have_thousands(levels):
        raise _not_as_meant(cells, "numbers", name=name, where=where, remedy=remedy)
    if not is_code(levels) and date_format_of(levels) is not None:
        return Kind.DATE
    if len(levels) <= max(FEW_LEVELS, MAX_LEVELS_OF_ROWS * (len(cells) - cells.null_count)):
        return Kind.CATEGORY
    refuse_nearly_numbers(cells, name=name, where=where, remedy=remedy)
    return None


def refuse_nearly_numbers(cells: pa.Array, *, name: str, where: Where, remedy: str) -> None:
    """Raise `ConfigError` if half of these texts are meant to be numbers, or dates: too good to be left out."""
    there = cells.drop_null()
    if is_code(there):
        return
    meant = _meant(there)
    if meant is not None:
        raise _not_as_meant(cells, meant, name=name, where=where, remedy=remedy)


def _have_thousands(levels: pa.Array) -> bool:
    """Whether these texts are all numbers, and some are written like 1,234."""
    have = pc.match_substring_regex(levels, WITH_THOUSANDS)
    return pc.any(have).as_py() is True and pc.all(pc.or_(have, pc.match_substring_regex(levels, NUMBER))).as_py()


def _not_as_meant(cells: pa.Array, meant: str, *, name: str, where: Where, remedy: str) -> ConfigError:
    first = pc.index(pc.match_substring_regex(cells, NUMBER if meant == "numbers" else PLAIN_DATE), False).as_py()
    like = LIKE_THIS["thousands" if meant == "numbers" and _have_thousands(cells.drop_null()) else meant]
    return ConfigError(
        f"{where(first)}, column '{name}' is {cells[first].as_py()!r}, but most of its cells are meant to be {meant}."
        f" Write them all {like}, or empty those that are none; or {remedy}."
    )


def _meant(texts: pa.Array) -> str | None:
    """What half of these texts look like: numbers, or dates, or numbers with other signs in them."""
    if pc.mean(pc.match_substring_regex(texts, NUMBER)).as_py() >= NEARLY:
        return "numbers"
    some = pd.Series(texts_of(texts.unique()))
    if max(_share_of_dates(some, one) for one in DATE_FORMATS) >= NEARLY:
        return "dates"
    return "numbers" if pc.mean(pc.match_substring_regex(texts, NEARLY_NUMBER)).as_py() >= NEARLY else None


def is_code(levels: pa.Array) -> bool:
    """Whether texts are all numbers, such as zip codes: a year or a day could be read into some."""
    return pc.all(pc.match_substring_regex(levels, NUMBER)).as_py() is True


def refuse_mixed(cells: pa.Array, *, name: str, where: Where, remedy: str, mostly: float = MOSTLY) -> None:
    """Raise `ConfigError` if most of these texts are numbers, but not all."""
    is_number = pc.match_substring_regex(cells, NUMBER)
    n_numbers = pc.sum(is_number).as_py() or 0
    n_there = len(cells) - cells.null_count
    if not mostly * n_there <= n_numbers < n_there:
        return
    first = pc.index(is_number, False).as_py()
    raise ConfigError(
        f"{where(first)}, column '{name}' is {cells[first].as_py()!r}, but {n_numbers} of {n_there} cells are numbers."
        f" Mend or empty such cells ({n_there - n_numbers} there are), or {remedy}."
    )


def _found_date(cells: pa.Array, *, name: str, where: Where) -> Column:
    date_format = date_format_of(cells)
    days = days_of(cells, date_format=date_format, name=name, where=where)
    return Column(name, Kind.DATE, date_format, bool((np.nan_to_num(days) % 1 > 0).any()))


def _names_of(column: Column) -> list[str]:
    return column.parts if column.kind is Kind.DATE else [column.name]


def _typed(column: Column, cells: pa.Array, index: "pd.Index[Any]", where: Where | None) -> dict[str, npt.NDArray[Any]]:
    def at(i: int) -> str:
        return where(int(index[i])) if where else f"row {i} (counted from 0)"

    refuse_nested(cells, name=column.name, where=at, remedy="Write it as in training.")
    if column.kind is Kind.CATEGORY:
        return {column.name: texts_of(cells)}
    if column.kind is Kind.BOOLEAN:
        return {column.name: truths_of(cells, name=column.name, where=at)}
    if column.kind is Kind.DATE:
        days = days_of(cells, date_format=column.date_format, name=column.name, where=at)
        return dict(zip(column.parts, date_parts(days), strict=False))
    return {column.name: numbers_of(cells, name=column.name, where=at)}


def date_format_of(cells: pa.Array) -> str | None:
    """The format that fits most of these texts, None if none does, or if they are dates already.

    Of two that fit equally well it is the first, so 01/02/2024 is in January.
    """
    if not is_text_type(cells.type):
        return None
    texts = pd.Series(texts_of(cells.unique().drop_null()))
    share, best = max((_share_of_dates(texts, one), -i) for i, one in enumerate(DATE_FORMATS))
    return DATE_FORMATS[-best] if share >= MOSTLY else None


def _share_of_dates(texts: "pd.Series[Any]", date_format: str) -> float:
    def share(some: "pd.Series[Any]") -> float:
        return float(pd.to_datetime(some, format=date_format, errors="coerce", utc=True).notna().mean())

    few = share(texts[:A_FEW])
    return share(texts) if few > 0.5 else few  # mostly it is none, and soon seen
