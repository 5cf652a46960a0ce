"""What the columns of a table are, and the cells as plain floats and texts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lightsweep.errors import ConfigError

Where = Callable[[int], str]  # the number of a row, as in the frame's index, to words such as "a.csv, line 17"

DATE_FORMATS = ("ISO8601", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y")
PAIRS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"})
TRUE_WORDS = ("true", "yes", "t", "y", "1")
FALSE_WORDS = ("false", "no", "f", "n", "0")
NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
MOSTLY_NUMBERS = 0.9  # a column of texts of which so many are numbers is one with wrong cells
MAX_LEVELS_OF_ROWS = 0.5  # a text column with more levels than that names its rows
FEW_LEVELS = 50  # that few are never too many

MAX_SPELLINGS = 6  # of true and false: Yes, yes, YES, ...

MISSING_LEVEL = ""
UNIX_MONDAY = 3  # 1970-01-01 was a Thursday


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
    """The columns that a model takes, whatever else a table has and in whatever order."""

    all: tuple[Column, ...]

    def named(self, kind: Kind) -> list[str]:
        return [column.name for column in self.all if column.kind is kind]

    @property
    def numbers(self) -> list[str]:
        """The typed columns of numbers, those of dates among them."""
        return [name for c in self.all for name in _names_of(c) if c.kind in (Kind.NUMBER, Kind.DATE)]

    def typed(self, frame: pd.DataFrame, *, where: Where | None = None) -> pd.DataFrame:
        """Floats with NaN for missing, dates as several of them, and texts with "" for missing.

        Raises `ConfigError` if a column is missing, or a cell is not what its column holds.
        """
        if missing := [column.name for column in self.all if column.name not in frame.columns]:
            raise ConfigError(f"the table has no column {' and no column '.join(map(repr, missing))}.")
        cells: dict[str, npt.NDArray[Any]] = {}
        for column in self.all:
            cells.update(_typed(column, frame[column.name], where or (lambda row: f"row {row}")))
        return pd.DataFrame(cells, index=frame.index, copy=False)

    def to_record(self) -> list[dict[str, Any]]:
        return [asdict(column) for column in self.all]

    @classmethod
    def from_record(cls, record: Sequence[Mapping[str, Any]]) -> "Columns":
        return cls(tuple(Column(**{**column, "kind": Kind(column["kind"])}) for column in record))


def find_columns(
    frame: pd.DataFrame, *, names: Sequence[str], kinds: Mapping[str, str], where: Where
) -> tuple[Columns, dict[str, str]]:
    """Find the kind of each column, or take it from `kinds`; gives also which were left out, and why.

    Raises `ConfigError` if a column can be no feature, or `kinds` names one that is not there.
    """
    if unknown := set(kinds) - set(frame.columns):
        raise ConfigError(f"data.kinds names '{min(unknown)}', but there is no such column.")
    found: list[Column] = []
    left_out: dict[str, str] = {}
    for name in names:
        column = _found(frame[name], name=name, kind=kinds.get(name), where=where)
        if isinstance(column, Column):
            found.append(column)
        else:
            left_out[name] = column
    return Columns(tuple(found)), left_out


def _found(series: "pd.Series[Any]", *, name: str, kind: str | None, where: Where) -> Column | str:
    cells = arrow_of(series)
    if pc.sum(pc.is_null(cells, nan_is_null=True)).as_py() == len(cells):
        return "all missing"
    if kind is None:
        kind = _kind_of(cells, name=name, where=lambda i: where(int(series.index[i])))
        if kind is None:
            return "names the rows: most have a value of their own"
    if kind == Kind.DATE:
        return _found_date(cells, name=name, where=lambda i: where(int(series.index[i])))
    return Column(name, Kind(kind))


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
            f"{where(0)}, column '{name}' holds {cells.type}, which can be no feature. Add it to data.drop."
        )
    levels = cells.unique().drop_null()
    if len(levels) <= MAX_SPELLINGS and {level.strip().lower() for level in levels.to_pylist()} in PAIRS:
        return Kind.BOOLEAN
    refuse_mixed(cells, name=name, where=where, remedy=f"say data.kinds={{{name}:category}}")
    if not _is_code(levels) and _date_format(levels) is not None:
        return Kind.DATE
    names_rows = len(levels) > max(FEW_LEVELS, MAX_LEVELS_OF_ROWS * (len(cells) - cells.null_count))
    return None if names_rows else Kind.CATEGORY


def _is_code(levels: pa.Array) -> bool:
    """Whether texts are all numbers, such as zip codes: a year or a day could be read into some."""
    return pc.all(pc.match_substring_regex(levels, NUMBER)).as_py() is True


def refuse_mixed(cells: pa.Array, *, name: str, where: Where, remedy: str) -> None:
    """Raise `ConfigError` if most of these texts are numbers, but not all."""
    is_number = pc.match_substring_regex(cells, NUMBER)
    n_numbers = pc.sum(is_number).as_py() or 0
    n_there = len(cells) - cells.null_count
    if not MOSTLY_NUMBERS * n_there <= n_numbers < n_there:
        return
    first = pc.index(is_number, False).as_py()
    raise ConfigError(
        f"{where(first)}, column '{name}' is {cells[first].as_py()!r}, but {n_numbers} of {n_there} cells are numbers."
        f" Mend or empty such cells ({n_there - n_numbers} there are), or {remedy}."
    )


def arrow_of(series: "pd.Series[Any]") -> pa.Array:
    """The cells as one Arrow array, without a copy where that can be; objects of several types become texts."""
    try:
        cells = pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        cells = pa.array([None if pd.isna(cell) else str(cell) for cell in series], type=pa.string())
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.combine_chunks()
    if isinstance(cells, pa.ChunkedArray):  # more text than one array holds
        cells = pa.concat_arrays([chunk.cast(pa.large_string()) for chunk in cells.chunks])
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    return cells


def is_number_type(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    )


def is_date_type(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def is_text_type(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view())


def _date_format(levels: pa.Array) -> str | None:
    """The first format that fits all of these texts, None if none does."""
    texts = pd.Series(levels.to_pylist() if len(levels) < 1000 else levels[:1000].to_pylist(), dtype=object)
    for date_format in DATE_FORMATS:
        if pd.to_datetime(texts, format=date_format, errors="coerce", utc=True).notna().all():
            every = pd.Series(levels.to_pylist(), dtype=object)
            if pd.to_datetime(every, format=date_format, errors="coerce", utc=True).notna().all():
                return date_format
    return None


def _found_date(cells: pa.Array, *, name: str, where: Where) -> Column:
    date_format = None
    if not is_date_type(cells.type):
        date_format = _date_format(cells.unique().drop_null()) or "ISO8601"
    days = days_of(cells, date_format=date_format, name=name, where=where)
    return Column(name, Kind.DATE, date_format, bool((np.nan_to_num(days) % 1 > 0).any()))


def _names_of(column: Column) -> list[str]:
    return column.parts if column.kind is Kind.DATE else [column.name]


def _typed(column: Column, series: "pd.Series[Any]", where: Where) -> dict[str, npt.NDArray[Any]]:
    cells = arrow_of(series)

    def at(i: int) -> str:
        return where(int(series.index[i]))

    if column.kind is Kind.CATEGORY:
        return {column.name: texts_of(cells)}
    if column.kind is Kind.BOOLEAN:
        return {column.name: _truths(cells, name=column.name, where=at)}
    if column.kind is Kind.DATE:
        days = days_of(cells, date_format=column.date_format, name=column.name, where=at)
        return dict(zip(column.parts, _date_parts(days), strict=False))
    return {column.name: numbers_of(cells, name=column.name, where=at)}


def numbers_of(cells: pa.Array, *, name: str, where: Where) -> npt.NDArray[np.float64]:
    """The cells as floats, NaN where missing; raises `ConfigError` at the first that is none, or is infinite."""
    if is_text_type(cells.type):
        cells = _numbers_in(cells, name=name, where=where)
    elif not is_number_type(cells.type) and not pa.types.is_boolean(cells.type):
        raise ConfigError(f"{where(0)}, column '{name}' holds {cells.type} where numbers are expected.")
    numbers: npt.NDArray[np.float64] = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if np.isinf(numbers).any():
        first = int(np.argmax(np.isinf(numbers)))
        raise ConfigError(
            f"{where(first)}, column '{name}' is {numbers[first]}, which is no number to learn from. Empty the cell,"
            " which means that it is missing, or write a number."
        )
    return numbers


def _numbers_in(cells: pa.Array, *, name: str, where: Where) -> pa.Array:
    cells = pc.utf8_trim_whitespace(cells)
    cells = pc.if_else(pc.equal(cells, ""), pa.scalar(None, cells.type), cells)
    try:
        return cells.cast(pa.float64())
    except pa.ArrowInvalid:
        for i, text in enumerate(cells.to_pylist()):
            try:
                float(text or 0)
            except ValueError:
                raise ConfigError(f"{where(i)}, column '{name}' is {text!r}, which is not a number.") from None
        raise


def texts_of(cells: pa.Array) -> npt.NDArray[np.object_]:
    """The cells as texts, whole numbers without a point, "" where missing."""
    coded = cells.dictionary_encode()
    texts = np.array([*map(str, map(plain, coded.dictionary.to_pylist())), MISSING_LEVEL], dtype=object)
    codes = coded.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False)
    named: npt.NDArray[np.object_] = texts[codes]
    return named


def plain(value: Any) -> int | float | str:
    """A cell as a level is named: 3.0 is 3, and texts lose the blanks around them."""
    if isinstance(value, bool | str):
        return str(value).strip()
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    return str(value)


def _truths(cells: pa.Array, *, name: str, where: Where) -> npt.NDArray[np.float64]:
    words = np.array([text.lower() for text in texts_of(cells)], dtype=object)
    truths = np.full(len(words), np.nan)
    truths[np.isin(words, TRUE_WORDS)] = 1.0
    truths[np.isin(words, FALSE_WORDS)] = 0.0
    if (wrong := np.isnan(truths) & (words != MISSING_LEVEL)).any():
        first = int(wrong.argmax())
        raise ConfigError(f"{where(first)}, column '{name}' is {words[first]!r}, which is neither true nor false.")
    return truths


def days_of(cells: pa.Array, *, date_format: str | None, name: str, where: Where) -> npt.NDArray[np.float64]:
    """Days since 1970, NaN where missing; raises `ConfigError` at the first cell that is no date."""
    if cells.null_count == len(cells):  # of no type, if they are not from a file
        return np.full(len(cells), np.nan)
    if is_text_type(cells.type):
        texts = texts_of(cells)
        dates = pd.to_datetime(pd.Series(texts), format=date_format or "ISO8601", errors="coerce", utc=True)
        if (wrong := dates.isna().to_numpy() & (texts != MISSING_LEVEL)).any():
            first = int(wrong.argmax())
            raise ConfigError(
                f"{where(first)}, column '{name}' is {texts[first]!r}, which is not a date of this column."
            )
        moments = dates.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    elif is_date_type(cells.type):
        moments = cells.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False).astype("datetime64[us]")
    else:
        raise ConfigError(f"{where(0)}, column '{name}' holds {cells.type} where dates are expected.")
    days: npt.NDArray[np.float64] = moments.astype(np.int64) / 86_400e6
    return np.where(np.isnat(moments), np.nan, days)


def _date_parts(days: npt.NDArray[np.float64]) -> Iterator[npt.NDArray[np.float64]]:
    """Days, month, weekday from 0 on Monday, hour."""
    missing = np.isnan(days)
    whole = np.floor(np.nan_to_num(days))
    yield days
    months = whole.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    for part in (months, (whole + UNIX_MONDAY) % 7, (np.nan_to_num(days) - whole) * 24):
        yield np.where(missing, np.nan, part)
