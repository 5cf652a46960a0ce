"""Numbers as people write them in text: with thousands separators, a decimal comma, a unit, or as hours and minutes."""

import re
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

DIGITS = r"(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
NUMBER = rf"^\s*[-+]?({DIGITS}|(?i:inf(inity)?))\s*$"
LEADING_ZEROS = r"^\s*[-+]?0\d+\s*$"
UNITS = "%$€£¥"
HOURS = "hours"  # the unit of 08:30 and of "1 days 05:12:00", as pandas writes a duration
CLOCK = r"^\s*(([-+]?\d+) days?,? ?)?([-+]?)(\d{1,2}):(\d{2})(:(\d{2}(\.\d+)?))?\s*$"
SPACES = r"[ \x{a0}\x{202f}]"  # a space, also one that does not break the line
SEPARATORS = {None: None, "comma": ",", "point": r"\.", "space": SPACES}  # by the value of `data.thousands`


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def trimmed(texts: pa.Array) -> pa.Array:
    """Return the texts without surrounding blanks, and null for blanks alone."""
    texts = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, texts.type), texts)


def are_numbers(texts: pa.Array) -> bool:
    """True if all texts that are not missing are numbers like -1234.5."""
    return pc.all(pc.match_substring_regex(texts, NUMBER)).as_py() is True


def have_leading_zeros(texts: pa.Array) -> bool:
    """True if one of the texts is a whole number with a zero before its other digits, such as 01234."""
    return pc.any(pc.match_substring_regex(texts, LEADING_ZEROS)).as_py() is True


def plain_numbers(texts: pa.Array, *, decimal: str, thousands: str | None) -> pa.Array:
    """Return the texts with each number written like -1234.5; a unit and all other texts stay as they are."""
    separator = SEPARATORS[thousands]
    if decimal == "." and separator is None:
        return texts
    numbers = pc.replace_substring_regex(texts, separator, "") if separator else texts
    numbers = pc.replace_substring(numbers, ",", ".") if decimal == "," else numbers
    return pc.if_else(pc.match_substring_regex(texts, _written_number(decimal, separator)), numbers, texts)


@lru_cache
def _written_number(decimal: str, separator: str | None) -> str:
    grouped = rf"\d{{1,3}}({separator}\d{{3}})+|" if separator else ""
    unit = rf"\s*[{UNITS}]?\s*"
    return rf"^{unit}[-+]?{unit}({grouped}\d+)?({re.escape(decimal)}\d*)?([eE][-+]?\d+)?{unit}$"


def unit_of(texts: pa.Array) -> str | None:
    """Return the sign of per cent or of a currency that all texts have beside a number, or `HOURS` if all are times.

    None if there is no such unit.
    """
    texts = texts.drop_null()
    first = texts[0].as_py() if len(texts) else ""
    if re.match(CLOCK, first):
        return HOURS if pc.all(pc.match_substring_regex(texts, CLOCK)).as_py() else None
    unit = next((sign for sign in UNITS if sign in first), None)
    if unit is None or not pc.all(pc.match_substring(texts, unit)).as_py():
        return None
    return unit if are_numbers(without_unit(texts, unit)) else None


def without_unit(texts: pa.Array, unit: str) -> pa.Array:
    """Return the texts in which a number has the unit, before or behind it, without it; "-$5" becomes "-5"."""
    if unit == HOURS:
        encoded = texts.dictionary_encode()
        hours = [_hours(text) for text in encoded.dictionary.to_pylist()]
        return pa.array(hours, texts.type).take(encoded.indices)
    sign = re.escape(unit)
    return pc.replace_substring_regex(
        texts, rf"^\s*([-+]?)\s*{sign}\s*([-+]?{DIGITS})\s*$|^\s*([-+]?{DIGITS})\s*{sign}\s*$", r"\1\2\5"
    )


def _hours(text: str) -> str:
    """Return the hours of a time or a duration, and other texts as they are."""
    found = re.match(CLOCK, text)
    if found is None:
        return text
    _, days, sign, hours, minutes, _, seconds, _ = found.groups()
    value = int(hours) + int(minutes) / 60 + float(seconds or 0) / 3600
    return repr(24 * int(days or 0) + (-value if sign == "-" else value))
