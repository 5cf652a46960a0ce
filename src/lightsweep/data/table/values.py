"""The values of a column as an Arrow array, and their conversion to floats, text, booleans and days."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lightsweep.data.reading.dialect import Dialect, in_dialect
from lightsweep.data.reading.numbers import LEADING_ZEROS, WORD_JOINER, is_number, trimmed, without_unit
from lightsweep.data.reading.spelling import normalized
from lightsweep.errors import ConfigError

RowLocator = Callable[[int], str]  # from the number of a row to a text such as "a.csv, line 17"

MISSING_LEVEL = ""
TRUE_WORDS = ("true", "yes", "t", "y", "1")
FALSE_WORDS = ("false", "no", "f", "n", "0")
MAX_STRING_BYTES = 2**31  # of Arrow's `string`, which has 32-bit offsets
WHOLE = re.compile(r"^(-?\d+)\.0+$")
WITH_COMMA = re.compile(r"^[-+]?\d*,\d+$")
MAX_FLOAT = float(np.finfo(np.float32).max)
WEEKDAY_OF_DAY_0 = 3  # 1970-01-01 was a Thursday
WITH_TIME = r"\d:\d{2}"
WITH_ZONE = r":\d{2}(\.\d+)?\s*(Z|UTC|GMT|[-+]\d{2}(:?\d{2})?)\s*$"


def to_arrow(series: "pd.Series[Any]", dialect: Dialect) -> pa.Array:
    """Return the values as one Arrow array, without a copy where possible.

    Values that are missing in this dialect become null, and numbers in text are written like -1234.5. Objects of
    several types become text. Raises `ConfigError` if one of them is complex or a collection.
    """
    try:
        values = pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        values = _objects_to_texts(series, dialect)
        dialect = replace(dialect, decimal=".", thousands=None)
    if isinstance(values, pa.ChunkedArray):
        if pa.types.is_string(values.type) and values.nbytes >= MAX_STRING_BYTES:
            values = values.cast(pa.large_string())
        values = values.combine_chunks()
    values = _simplify(values)
    values = in_dialect(values, dialect) if is_text_type(values.type) else values
    return _with_missing(values, dialect.missing) if dialect.missing else values


def _objects_to_texts(series: "pd.Series[Any]", dialect: Dialect) -> pa.Array:
    """Return texts. Numbers in texts are written like -1234.5, as numbers that are none are by Python."""
    texts = pa.array([_object_to_text(value, i, name=series.name) for i, value in enumerate(series)], pa.string())
    return pc.if_else(pa.array([isinstance(value, str) for value in series]), in_dialect(texts, dialect), texts)


def _object_to_text(value: Any, i: int, *, name: Any) -> str | None:
    is_collection = isinstance(value, Collection) and not isinstance(value, str | bytes)
    if is_collection or isinstance(value, complex | np.complexfloating):
        raise ConfigError(
            f"row {i} (counted from 0), column '{name}' holds {type(value).__name__}, which is neither a number nor"
            " a text."
        )
    return None if pd.isna(value) else str(value)


def _simplify(values: pa.Array) -> pa.Array:
    """Decode dictionaries, cast what few Arrow functions support, and replace NaN and texts of blanks by null.

    Times of day and durations become hours.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if values.type == pa.string_view():
        values = values.cast(pa.large_string())
    if is_text_type(values.type):
        values = pc.if_else(pc.is_valid(trimmed(values)), values, pa.scalar(None, values.type))
    if pa.types.is_duration(values.type):
        values = _hours(values.cast(pa.duration("us"), safe=False).cast(pa.int64()))
    if pa.types.is_time(values.type):
        values = _hours(values.cast(pa.time64("us")).cast(pa.int64()))
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    return values


def _hours(microseconds: pa.Array) -> pa.Array:
    return pc.divide(microseconds.cast(pa.float64()), 3600e6)


def _with_missing(values: pa.Array, missing: Sequence[str]) -> pa.Array:
    if is_text_type(values.type):
        whole = [f"{word}.0" for word in missing if word.removeprefix("-").isdecimal()]  # pandas writes 7 as 7.0
        compared, value_set = values, pa.array([*missing, *whole], type=values.type)
    elif is_number_type(values.type):
        compared = values.cast(pa.float64(), safe=False)
        value_set = pa.array([float(word) for word in missing if is_number(word)], type=pa.float64())
    else:
        return values
    return pc.if_else(pc.is_in(compared, value_set=value_set), pa.scalar(None, values.type), values)


def is_number_type(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    )


def is_date_type(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def is_text_type(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view())


def check_not_nested(values: pa.Array, *, name: str, where: RowLocator, remedy: str) -> None:
    """Raise `ConfigError` if the values are lists, structs, or of an extension type."""
    if pa.types.is_nested(values.type) or isinstance(values.type, pa.BaseExtensionType):
        raise ConfigError(
            f"{where(0)}, column '{name}' holds {values.type}, which is neither a number nor a text. {remedy}"
        )


def to_floats(values: pa.Array, *, name: str, where: RowLocator, unit: str | None = None) -> npt.NDArray[np.float64]:
    """Return floats, NaN where missing; a number in text may have the unit.

    Raises `ConfigError` at the first value that is no number or too large.
    """
    if is_text_type(values.type):
        values = _parse_numbers(without_unit(values, unit) if unit else values, name=name, where=where)
    elif not is_number_type(values.type) and not pa.types.is_boolean(values.type):
        raise ConfigError(f"{where(0)}, column '{name}' holds {values.type} where numbers are expected.")
    floats: npt.NDArray[np.float64] = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if (too_large := np.abs(floats) > MAX_FLOAT).any():
        first = int(np.argmax(too_large))
        raise ConfigError(
            f"{where(first)}, column '{name}' is {floats[first]}, which is not a finite 32-bit number. Mark it as"
            f" missing, with an empty cell or with NaN in an array, or write a number up to {MAX_FLOAT:.1g}."
        )
    return floats


def _parse_numbers(texts: pa.Array, *, name: str, where: RowLocator) -> pa.Array:
    texts = pc.utf8_trim_whitespace(texts)
    try:
        return texts.cast(pa.float64())
    except pa.ArrowInvalid:
        for i, text in enumerate(texts.to_pylist()):
            try:  # `float` accepts more than Arrow, e.g. 1_0
                pa.array([text], type=texts.type).cast(pa.float64())
            except pa.ArrowInvalid:
                raise ConfigError(
                    f"{where(i)}, column '{name}' is {normalized(text)!r}, which is not a number.{_hint(text)}"
                ) from None
        raise


def _hint(text: str) -> str:
    if WITH_COMMA.match(text):
        return " If it is a decimal comma, train with data.decimal=comma."
    return " Write it with the decimal comma of this table." if text.endswith(WORD_JOINER) else ""


def to_texts(values: pa.Array, spell: Callable[[Any], str] | None = None) -> npt.NDArray[np.object_]:
    """Return `spell` of each value, by default its name as a level, and "" where missing."""
    encoded = values.dictionary_encode()
    levels = np.array([*map(spell or to_level, encoded.dictionary.to_pylist()), MISSING_LEVEL], dtype=object)
    codes = encoded.indices.fill_null(len(levels) - 1).to_numpy(zero_copy_only=False)
    texts: npt.NDArray[np.object_] = levels[codes]
    return texts


def to_level(value: Any) -> str:
    """Return the name of a value as a level of a category: normalized text, and 3 for 3.0, also in text."""
    return whole(to_label(value))


def to_former_level(value: Any) -> str:
    """Return the name of a value as a level, as models know it that were trained before texts were normalized."""
    if isinstance(value, str):
        return whole(value.replace(WORD_JOINER, "").strip())
    return to_level(float(value) if isinstance(value, Decimal) else value)


def to_label(value: Any) -> str:
    """Return the name of a value as a class: what the file holds, normalized, and 3 for the number 3.0."""
    if isinstance(value, Decimal):
        return str(int(value)) if value == value.to_integral_value() else str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return normalized(value) if isinstance(value, str) else str(value)


def whole(text: str) -> str:
    """Return 3 for 3.0, and other texts as they are."""
    return WHOLE.sub(r"\1", text)


def to_booleans(values: pa.Array, *, name: str, where: RowLocator) -> npt.NDArray[np.float64]:
    """Return 1 and 0, NaN where missing; raises `ConfigError` at the first value that is neither."""
    words = np.array([text.lower() for text in to_texts(values)], dtype=object)
    booleans = np.full(len(words), np.nan)
    booleans[np.isin(words, TRUE_WORDS)] = 1.0
    booleans[np.isin(words, FALSE_WORDS)] = 0.0
    if (wrong := np.isnan(booleans) & (words != MISSING_LEVEL)).any():
        first = int(wrong.argmax())
        raise ConfigError(f"{where(first)}, column '{name}' is {words[first]!r}, which is neither true nor false.")
    return booleans


def to_days(values: pa.Array, *, date_format: str | None, name: str, where: RowLocator) -> npt.NDArray[np.float64]:
    """Return days since 1970, NaN where missing; raises `ConfigError` at the first value that is no date."""
    if is_text_type(values.type):
        moments = _parse_dates(to_texts(values), date_format or "ISO8601", name=name, where=where)
    elif is_date_type(values.type) or pa.types.is_null(values.type):
        moments = values.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False).astype("datetime64[us]")
    else:
        raise ConfigError(f"{where(0)}, column '{name}' holds {values.type} where dates are expected.")
    days: npt.NDArray[np.float64] = moments.astype(np.int64) / 86_400e6
    return np.where(np.isnat(moments), np.nan, days)


def have_zone(values: pa.Array) -> pa.Array:
    """Return whether each value has a time zone, null for a value without a time or without any moment."""
    if pa.types.is_timestamp(values.type):
        return pc.if_else(pc.is_valid(values), values.type.tz is not None, pa.scalar(None, pa.bool_()))
    if not is_text_type(values.type):
        return pa.nulls(len(values), pa.bool_())
    has_time = pc.match_substring_regex(values, WITH_TIME)
    return pc.if_else(has_time, pc.match_substring_regex(values, WITH_ZONE), pa.scalar(None, pa.bool_()))


def check_zones(values: pa.Array, *, has_zone: bool, name: str, where: RowLocator) -> None:
    """Raise `ConfigError` at the first moment that has a time zone where the others have none, or the reverse."""
    first = pc.index(have_zone(values), not has_zone).as_py()
    if first >= 0:
        moment = f"{where(first)}, column '{name}' is '{values[first].as_py()}', which has"
        if has_zone:
            raise ConfigError(
                f"{moment} no time zone, but other times of this column have one. Write it with its zone, as"
                " 2024-12-31 18:00+01:00 (pandas: .dt.tz_localize('Europe/Berlin'))."
            )
        raise ConfigError(
            f"{moment} a time zone, but other times of this column have none. Write the local time without it"
            " (pandas: .dt.tz_convert('Europe/Berlin').dt.tz_localize(None))."
        )


def check_no_codes(values: pa.Array, *, name: str, where: RowLocator) -> None:
    """Raise `ConfigError` at the first text of digits with a leading zero, such as 01234."""
    if not is_text_type(values.type):
        return
    first = pc.index(pc.match_substring_regex(values, LEADING_ZEROS), True).as_py()
    if first >= 0:
        raise ConfigError(
            f"{where(first)}, column '{name}' is {values[first].as_py()!r}, which has a leading zero, but the numbers"
            f" of training have none. If they are codes, train with data.kinds={{{name}:category}}; if they are"
            f" numbers, write them without it, or train with data.kinds={{{name}:number}}."
        )


def _parse_dates(
    texts: npt.NDArray[np.object_], date_format: str, *, name: str, where: RowLocator
) -> npt.NDArray[np.datetime64]:
    dates = pd.to_datetime(pd.Series(texts), format=date_format, errors="coerce", utc=True)
    if (wrong := dates.isna().to_numpy() & (texts != MISSING_LEVEL)).any():
        first = int(wrong.argmax())
        raise ConfigError(
            f"{where(first)}, column '{name}' is {texts[first]!r}, which is not a date in the format of this column."
            " Correct the cell or leave it empty."
        )
    return dates.dt.tz_localize(None).to_numpy().astype("datetime64[us]")


def date_parts(days: npt.NDArray[np.float64]) -> Iterator[npt.NDArray[np.float64]]:
    """Yield days since 1970, month from 1, weekday from 0 on Monday, and hour, each NaN where missing."""
    missing = np.isnan(days)
    whole = np.floor(np.nan_to_num(days))
    yield days
    months = whole.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    for part in (months, (whole + WEEKDAY_OF_DAY_0) % 7, (np.nan_to_num(days) - whole) * 24):
        yield np.where(missing, np.nan, part)
