"""The cells of a column as Arrow keeps them, made into floats and texts."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lightsweep.errors import ConfigError

Where = Callable[[int], str]  # the number of a row to words such as "a.csv, line 17"

MISSING_LEVEL = ""
TRUE_WORDS = ("true", "yes", "t", "y", "1")
FALSE_WORDS = ("false", "no", "f", "n", "0")
MAX_BYTES_OF_TEXT = 2**31  # more than that does not fit into one array of Arrow's plain strings
WHOLE = re.compile(r"^(-?\d+)\.0+$")
WITH_COMMA = re.compile(r"^[-+]?\d*,\d+$")
LARGEST = float(np.finfo(np.float32).max)  # that a model can take
UNIX_MONDAY = 3  # 1970-01-01 was a Thursday


def arrow_of(series: "pd.Series[Any]") -> pa.Array:
    """The cells as one Arrow array, without a copy where that can be; objects of several types become texts.

    Raises `ConfigError` if one of those is complex, or holds several values.
    """
    try:
        cells = pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        cells = pa.array([_text_of(cell, i, name=series.name) for i, cell in enumerate(series)], type=pa.string())
    if isinstance(cells, pa.ChunkedArray):
        if pa.types.is_string(cells.type) and cells.nbytes >= MAX_BYTES_OF_TEXT:
            cells = cells.cast(pa.large_string())
        cells = cells.combine_chunks()
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if cells.type == pa.string_view():  # as some write Feather, and for which little of Arrow is made
        cells = cells.cast(pa.large_string())
    if pa.types.is_decimal(cells.type):
        cells = cells.cast(pa.float64())
    if pa.types.is_floating(cells.type):  # a Parquet file may have both
        cells = pc.if_else(pc.is_nan(cells), pa.scalar(None, cells.type), cells)
    return cells


def _text_of(cell: Any, i: int, *, name: Any) -> str | None:
    is_several = isinstance(cell, Collection) and not isinstance(cell, str | bytes)
    if is_several or isinstance(cell, complex | np.complexfloating):
        raise ConfigError(
            f"row {i} (counted from 0), column '{name}' holds {type(cell).__name__}, which is neither a number nor"
            " a text."
        )
    return None if pd.isna(cell) else str(cell)


def refuse_nested(cells: pa.Array, *, name: str, where: Where, remedy: str) -> None:
    """Raise `ConfigError` unless each cell is one value that has a text."""
    if pa.types.is_nested(cells.type) or isinstance(cells.type, pa.BaseExtensionType):
        raise ConfigError(
            f"{where(0)}, column '{name}' holds {cells.type}, which is neither a number nor a text. {remedy}"
        )


def without(cells: pa.Array, missing: Sequence[str]) -> pa.Array:
    """The cells, of which those that `missing` names, as texts or as numbers, are missing."""
    if is_text_type(cells.type):
        whole = [f"{word}.0" for word in missing if word.removeprefix("-").isdecimal()]  # as pandas writes some
        values = pa.array([*missing, *whole], type=cells.type)
    elif is_number_type(cells.type):
        values = pa.array([float(word) for word in missing if is_number(word)], type=pa.float64())
    else:
        return cells
    found = pc.is_in(cells if is_text_type(cells.type) else cells.cast(pa.float64(), safe=False), value_set=values)
    return pc.if_else(found, pa.scalar(None, cells.type), cells)


def is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def is_number_type(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    )


def is_date_type(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def is_text_type(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view())


def numbers_of(cells: pa.Array, *, name: str, where: Where) -> npt.NDArray[np.float64]:
    """The cells as floats, NaN where missing; raises `ConfigError` at the first that is none, or is too large."""
    if is_text_type(cells.type):
        cells = _numbers_in(cells, name=name, where=where)
    elif not is_number_type(cells.type) and not pa.types.is_boolean(cells.type):
        raise ConfigError(f"{where(0)}, column '{name}' holds {cells.type} where numbers are expected.")
    numbers: npt.NDArray[np.float64] = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if (too_large := np.abs(numbers) > LARGEST).any():
        first = int(np.argmax(too_large))
        raise ConfigError(
            f"{where(first)}, column '{name}' is {numbers[first]}, which is no number to learn from. Leave it out,"
            f" as an empty cell or as NaN in an array, or write a number up to {LARGEST:.1g}."
        )
    return numbers


def _numbers_in(cells: pa.Array, *, name: str, where: Where) -> pa.Array:
    cells = pc.utf8_trim_whitespace(cells)
    cells = pc.if_else(pc.equal(cells, ""), pa.scalar(None, cells.type), cells)
    try:
        return cells.cast(pa.float64())
    except pa.ArrowInvalid:
        for i, text in enumerate(cells.to_pylist()):
            try:  # not `float`, which takes more: 1_0, for one
                pa.array([text], type=cells.type).cast(pa.float64())
            except pa.ArrowInvalid:
                hint = " If it is a decimal comma, train with data.decimal=comma." if WITH_COMMA.match(text) else ""
                raise ConfigError(f"{where(i)}, column '{name}' is {text!r}, which is not a number.{hint}") from None
        raise


def texts_of(cells: pa.Array) -> npt.NDArray[np.object_]:
    """The cells as texts, whole numbers without a point, "" where missing."""
    coded = cells.dictionary_encode()
    texts = np.array([*map(str, map(plain, coded.dictionary.to_pylist())), MISSING_LEVEL], dtype=object)
    codes = coded.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False)
    named: npt.NDArray[np.object_] = texts[codes]
    return named


def plain(value: Any) -> int | float | str:
    """A cell as a level is named: 3.0 is 3, also as a text, and texts lose the blanks around them."""
    if isinstance(value, str):
        return WHOLE.sub(r"\1", value.strip())
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    return str(value)


def truths_of(cells: pa.Array, *, name: str, where: Where) -> npt.NDArray[np.float64]:
    """1 and 0, NaN where missing; raises `ConfigError` at the first cell that is neither."""
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
    if is_text_type(cells.type):
        texts = texts_of(cells)
        dates = pd.to_datetime(pd.Series(texts), format=date_format or "ISO8601", errors="coerce", utc=True)
        if (wrong := dates.isna().to_numpy() & (texts != MISSING_LEVEL)).any():
            first = int(wrong.argmax())
            raise ConfigError(
                f"{where(first)}, column '{name}' is {texts[first]!r}, which is not a date like those of this"
                " column. Mend the cell or leave it empty."
            )
        moments = dates.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    elif is_date_type(cells.type) or pa.types.is_null(cells.type):
        moments = cells.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False).astype("datetime64[us]")
    else:
        raise ConfigError(f"{where(0)}, column '{name}' holds {cells.type} where dates are expected.")
    days: npt.NDArray[np.float64] = moments.astype(np.int64) / 86_400e6
    return np.where(np.isnat(moments), np.nan, days)


def date_parts(days: npt.NDArray[np.float64]) -> Iterator[npt.NDArray[np.float64]]:
    """Days, month, weekday from 0 on Monday, hour."""
    missing = np.isnan(days)
    whole = np.floor(np.nan_to_num(days))
    yield days
    months = whole.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    for part in (months, (whole + UNIX_MONDAY) % 7, (np.nan_to_num(days) - whole) * 24):
        yield np.where(missing, np.nan, part)
