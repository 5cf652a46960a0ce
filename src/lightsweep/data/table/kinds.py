"""Inference of the kind of each column, and checks for columns with inconsistent values."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lightsweep.data.reading.dialect import Dialect
from lightsweep.data.reading.numbers import (
    HOURS,
    NUMBER,
    UNITS,
    WORD_JOINER,
    are_numbers,
    have_leading_zeros,
    have_one_notation,
    have_thousands,
    look_like_numbers,
    unit_of,
)
from lightsweep.data.reading.spelling import normalized
from lightsweep.data.table.columns import Column, Columns, Kind
from lightsweep.data.table.values import (
    RowLocator,
    check_not_nested,
    check_zones,
    have_zone,
    is_date_type,
    is_number_type,
    is_text_type,
    to_arrow,
    to_days,
    to_level,
    to_texts,
)
from lightsweep.errors import ConfigError

DATE_FORMATS = (
    *("ISO8601", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y"),
    *("%m/%d/%y", "%d/%m/%y", "%b %d, %Y", "%d %b %Y"),
)
BOOLEAN_PAIRS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"})
PLAIN_DATE = r"^\s*\d{4}-\d{2}-\d{2}"
ROW_NUMBER_NAME = re.compile(r"unnamed: ?\d+|(.*[_ ])?(id|index|idx|key|no|nr|row|rownum|number)|.*Id", re.IGNORECASE)
HOW_TO_WRITE = {
    "numbers": "like -1234.5, or set data.decimal=comma for 1234,5 and data.thousands=point for 1.234,5",
    "comma": "like -1234.5, or set data.thousands=comma, or, if it is a decimal comma, data.decimal=comma",
    "point": "like -1234,5, or set data.thousands=point for 1.234, or data.decimal=point for 0.5",
    "space": "like -1234.5, or set data.thousands=space",
    "apostrophe": "like -1234.5, or set data.thousands=apostrophe",
    "dates": "in one format, like 2024-12-31",
}
HALF = 0.5
MOST = 0.9  # a text column with this share of numbers, or dates, has wrong values
MAX_SHARE_OF_LEVELS = 0.5  # of the rows; a text column with more levels identifies rows
FEW_LEVELS = 50  # always allowed
SAMPLE_SIZE = 100
MAX_BOOLEAN_SPELLINGS = 6  # Yes, yes, YES, ...


def infer_columns(
    frame: pd.DataFrame,
    *,
    names: Sequence[str],
    kinds: Mapping[str, str],
    dialect: Dialect,
    where: RowLocator,
    is_train: npt.NDArray[np.bool_],
    target: pa.Array | None,
) -> tuple[Columns, dict[str, str]]:
    """Return the columns, of the kind in `kinds` or the inferred one, and the reason for each column left out.

    `is_train` says which rows are for training, and `target` has the values of the only target column.

    Raises `ConfigError` if a column can't be a feature.
    """
    columns: list[Column] = []
    left_out: dict[str, str] = {}
    for name in names:
        values = to_arrow(frame[name], dialect)
        declared = Kind.CATEGORY if is_declared_category(frame[name].dtype) else None
        kind = kinds.get(name, declared)
        column = _why_useless(values, is_train=is_train, target=target) or _infer(
            values, name=name, kind=kind, where=lambda i: where(int(frame.index[i]))
        )
        if isinstance(column, Column):
            is_time = column.kind is Kind.NUMBER and _holds_times(frame[name].dtype)
            columns.append(replace(column, unit=HOURS, why=f"in {HOURS}") if is_time else column)
        else:
            left_out[name] = column
    for column in columns:
        if column.kind is Kind.DATE and (same := {*column.typed_names} & {one.name for one in columns}):
            raise ConfigError(
                f"column '{min(same)}' has the name of a part of the date '{column.name}'. Rename one of them, or add"
                " one to data.drop."
            )
    return Columns(tuple(columns), dialect), left_out


def _why_useless(values: pa.Array, *, is_train: npt.NDArray[np.bool_], target: pa.Array | None) -> str | None:
    """Return the reason to leave a column out whatever its kind is, None if there is none."""
    if values.null_count == len(values):
        return "all cells are missing"
    if values.filter(pa.array(is_train)).null_count == is_train.sum():
        return "all cells are missing in the rows for training"
    return "the same as the target in all rows" if target is not None and _are_equal(values, target) else None


def _are_equal(values: pa.Array, target: pa.Array) -> bool:
    """True if two columns hold the same in all rows, whatever their types are."""
    if pa.types.is_nested(values.type):
        return False
    parts = ((one.slice(0, n) for one in (values, target)) for n in (SAMPLE_SIZE, len(values)))  # most differ at once
    return all(np.array_equal(to_texts(one), to_texts(other)) for one, other in parts)


def is_declared_category(dtype: Any) -> bool:
    """True if the file, or the frame, declares that the column has levels."""
    is_arrow = isinstance(dtype, pd.ArrowDtype)
    return isinstance(dtype, pd.CategoricalDtype) or (is_arrow and pa.types.is_dictionary(dtype.pyarrow_dtype))


def _infer(values: pa.Array, *, name: str, kind: str | None, where: RowLocator) -> Column | str:
    """Return the column, or the reason to leave it out."""
    check_not_nested(values, name=name, where=where, remedy=f"Leave it out: data.drop=[{name}].")
    if kind is None and _counts_rows(values, name=name):
        return "row numbers"
    is_given = kind is not None
    kind = kind or _kind_of(values, name=name, where=where)
    if kind is None:
        return "row identifiers: most cells are unique"
    if kind == Kind.DATE:
        return _date_column(values, name=name, where=where)
    if kind == Kind.CATEGORY:
        return _category_column(values, name=name)
    unit = unit_of(values) if kind == Kind.NUMBER and is_text_type(values.type) else None
    refuses_codes = kind == Kind.NUMBER and not is_given
    return Column(name, Kind(kind), unit=unit, refuses_codes=refuses_codes, why=f"in {unit}" if unit else "")


def _holds_times(dtype: Any) -> bool:
    """True if the file, or the frame, declares times of day or durations, which `to_arrow` gives in hours."""
    if not isinstance(dtype, pd.ArrowDtype):
        return bool(dtype.kind == "m")
    return bool(pa.types.is_time(dtype.pyarrow_dtype) or pa.types.is_duration(dtype.pyarrow_dtype))


def _date_column(values: pa.Array, *, name: str, where: RowLocator) -> Column:
    date_format = date_format_of(values)
    days = to_days(values, date_format=date_format, name=name, where=where)
    zones = have_zone(values).drop_null()
    has_zone = pc.any(zones).as_py()
    if has_zone is not None:
        check_zones(values, has_zone=has_zone, name=name, where=where)
    has_time = bool((np.nan_to_num(days) % 1 > 0).any())
    return Column(name, Kind.DATE, date_format, has_time=has_time, has_zone=has_zone)


def _category_column(values: pa.Array, *, name: str) -> Column:
    levels = values.unique().drop_null()
    if not is_text_type(values.type):
        return Column(name, Kind.CATEGORY, why="by its type or data.kinds" if is_number_type(values.type) else "")
    if have_thousands(levels) == "space":
        return Column(name, Kind.CATEGORY, why="digits in groups; if they are numbers, set data.thousands=space")
    if not have_leading_zeros(levels):
        return Column(name, Kind.CATEGORY)
    widths = {len(level) if level.isdecimal() else 0 for level in map(to_level, levels.to_pylist())}
    width = widths.pop() if len(widths) == 1 else 0
    return Column(name, Kind.CATEGORY, width=width, why="some values have leading zeros")


def _counts_rows(values: pa.Array, *, name: str) -> bool:
    """True if the numbers rise by 1 from row to row and the name is typical of row numbers."""
    if not ROW_NUMBER_NAME.fullmatch(name.strip()) or not is_number_type(values.type) or values.null_count:
        return False
    return bool((np.diff(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)) == 1).all())


def _kind_of(values: pa.Array, *, name: str, where: RowLocator) -> Kind | None:
    """Return None if the column identifies rows."""
    if pa.types.is_boolean(values.type):
        return Kind.BOOLEAN
    if is_number_type(values.type):
        return Kind.NUMBER
    if is_date_type(values.type):
        return Kind.DATE
    if is_text_type(values.type):
        return _kind_of_texts(values, name=name, where=where)
    raise ConfigError(
        f"{where(0)}, column '{name}' holds {values.type}, which can't be a feature."
        f" Add it to data.drop, or set data.kinds={{{name}:category}}."
    )


def _kind_of_texts(texts: pa.Array, *, name: str, where: RowLocator) -> Kind | None:
    levels = texts.unique().drop_null()
    if len(levels) <= MAX_BOOLEAN_SPELLINGS and {text.strip().lower() for text in levels.to_pylist()} in BOOLEAN_PAIRS:
        return Kind.BOOLEAN
    remedy = f"set data.kinds={{{name}:category}}"
    if have_thousands(levels) not in (None, "space"):  # codes are written in groups, too
        raise _wrong_format(texts, "numbers", name=name, where=where, remedy=f"{remedy} or data.drop=[{name}]")
    check_not_mixed(texts, name=name, where=where, remedy=remedy)
    remedy += f" or data.drop=[{name}]"
    if unit_of(levels) is not None:
        return Kind.NUMBER
    if not are_numbers(levels) and pc.all(look_like_numbers(levels)).as_py():
        raise _wrong_format(texts, "numbers", name=name, where=where, remedy=remedy)
    if not are_numbers(levels) and date_format_of(levels) is not None:
        return Kind.DATE
    if len(levels) <= max(FEW_LEVELS, MAX_SHARE_OF_LEVELS * (len(texts) - texts.null_count)):
        return Kind.CATEGORY
    check_format(texts, name=name, where=where, remedy=remedy)
    return None


def check_not_mixed(texts: pa.Array, *, name: str, where: RowLocator, remedy: str, threshold: float = MOST) -> None:
    """Raise `ConfigError` if at least `threshold` of the texts are numbers, but not all."""
    is_number = pc.match_substring_regex(texts, NUMBER)
    n_numbers = pc.sum(is_number).as_py() or 0
    n_present = len(texts) - texts.null_count
    if threshold * n_present <= n_numbers < n_present:
        first = pc.index(is_number, False).as_py()
        raise ConfigError(
            f"{where(first)}, column '{name}' is {normalized(texts[first].as_py())!r}, but {n_numbers} of {n_present}"
            f" cells are numbers. Correct or empty the other {n_present - n_numbers} cells, or {remedy}."
        )


def check_format(texts: pa.Array, *, name: str, where: RowLocator, remedy: str) -> None:
    """Raise `ConfigError` if at least half of the texts look like numbers, or dates; a column of codes is allowed."""
    present = texts.drop_null()
    if not are_numbers(present) and (meaning := _meaning_of(present)) is not None:
        raise _wrong_format(texts, meaning, name=name, where=where, remedy=remedy)


def _meaning_of(texts: pa.Array) -> str | None:
    """Return what at least half of the texts look like: "numbers" (also with a currency or other signs) or "dates"."""
    if pc.mean(pc.match_substring_regex(texts, NUMBER)).as_py() >= HALF:
        return "numbers"
    levels = pd.Series(to_texts(texts.unique()))
    if max(_share_of_dates(levels, date_format) for date_format in DATE_FORMATS) >= HALF:
        return "dates"
    return "numbers" if pc.mean(look_like_numbers(texts, grouped=True)).as_py() >= HALF else None


def _wrong_format(texts: pa.Array, meaning: str, *, name: str, where: RowLocator, remedy: str) -> ConfigError:
    levels = texts.drop_null()
    sign = _wrong_sign(levels) if meaning == "numbers" else None
    unit = _usual_unit(levels) if meaning == "numbers" and sign is None else ""
    fits = pc.match_substring_regex(texts, PLAIN_DATE) if meaning == "dates" else have_one_notation(texts, unit)
    how = HOW_TO_WRITE[sign or meaning]
    if unit and not pc.all(pc.match_substring(levels, unit)).as_py():
        fits = pc.and_(look_like_numbers(texts, grouped=True), pc.match_substring(texts, unit))
        meaning, how = f"numbers with {unit}", f"with {unit}, or all without"
    first = pc.index(fits, False).as_py()
    return ConfigError(
        f"{where(first)}, column '{name}' is {normalized(texts[first].as_py())!r}, but most of its cells look like"
        f" {meaning}. Write all {meaning.split()[0]} {how}, and empty the other cells; or {remedy}."
    )


def _wrong_sign(texts: pa.Array) -> str | None:
    """Return the sign by which numbers are not those of the file: a key of `SEPARATORS`."""
    has_point = pc.any(pc.match_substring(texts, WORD_JOINER)).as_py()
    return have_thousands(texts) or ("point" if has_point else None)


def _usual_unit(texts: pa.Array) -> str:
    """Return the unit that most of the numbers have, "" for none."""
    numbers = texts.filter(look_like_numbers(texts, grouped=True)).to_pylist()
    units = Counter(next((unit for unit in UNITS if unit in text), "") for text in numbers)
    return units.most_common(1)[0][0] if units else ""


def date_format_of(values: pa.Array) -> str | None:
    """Return the date format of most of the texts, None if no format fits or the values are not texts.

    Of two formats that fit equally well it is the first, so 01/02/2024 is in January.
    """
    if not is_text_type(values.type):
        return None
    texts = pd.Series(to_texts(values.unique().drop_null()))
    share, best = max((_share_of_dates(texts, date_format), -i) for i, date_format in enumerate(DATE_FORMATS))
    return DATE_FORMATS[-best] if share >= MOST else None


def _share_of_dates(texts: "pd.Series[str]", date_format: str) -> float:
    for part in (texts[:SAMPLE_SIZE], texts):  # for most columns the sample shows that they are no dates
        share = float(pd.to_datetime(part, format=date_format, errors="coerce", utc=True).notna().mean())
        if not share > 0.5:
            break
    return share
