"""Numbers as people write them in text: with thousands separators, a decimal comma, a unit, or as hours and minutes."""

import re
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

BLANK = r"[\s\x{a0}\x{2009}\x{202f}]"  # also blanks that do not break the line
DIGITS = r"(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
NUMBER = rf"^{BLANK}*[-+]?({DIGITS}|(?i:inf(inity)?)){BLANK}*$"
LEADING_ZEROS = r"^\s*[-+]?0\d+\s*$"
UNITS = ("%", "$", "€", "£", "¥", "USD", "EUR", "GBP", "JPY", "CHF", "CNY", "INR", "CAD", "AUD")
UNIT = f"({'|'.join(map(re.escape, UNITS))})"
HOURS = "hours"  # the unit of 08:30 and of "1 days 05:12:00", as pandas writes a duration
CLOCK = r"^\s*(([-+]?\d+) days?,? ?)?([-+]?)(\d{1,2}):(\d{2})(:(\d{2}(\.\d+)?))?\s*$"
# By the value of `data.thousands`.
SEPARATORS = {None: None, "comma": ",", "point": r"\.", "space": r"[ \x{a0}\x{2009}\x{202f}]", "apostrophe": "['’]"}
# A number that the settings of the file do not allow, such as 1.5 with a decimal comma, gets this character of no
# width, so that it counts as text; `normalized` removes it.
WORD_JOINER = "\u2060"


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
    """Return the texts with each number written like -1234.5; a unit and all other texts stay as they are.

    Texts that would be numbers by another sign for decimals become texts by a `WORD_JOINER`.
    """
    separator = SEPARATORS[thousands]
    if decimal == "." and separator is None:
        return texts
    is_number = pc.match_substring_regex(texts, _written_number(decimal, separator))
    numbers = pc.replace_substring_regex(texts, separator, "") if separator else texts
    if decimal == ".":
        return pc.if_else(is_number, numbers, texts)
    numbers = pc.replace_substring(numbers, ",", ".")
    is_other = pc.and_(pc.match_substring(texts, "."), pc.match_substring_regex(texts, _with_unit(DIGITS)))
    others = pc.replace_substring_regex(texts, "$", WORD_JOINER)
    return pc.if_else(is_number, numbers, pc.if_else(is_other, others, texts))


@lru_cache
def _written_number(decimal: str, separator: str | None) -> str:
    grouped = rf"[1-9]\d{{0,2}}({separator}\d{{3}})+|" if separator else ""
    number = rf"({grouped}\d+)?({re.escape(decimal)}\d*)?([eE][-+]?\d+)?"
    return _with_unit(number)


@lru_cache
def _with_unit(number: str, *, end: str = "") -> str:
    """Return a pattern of the number with a sign and a unit before or behind it; with a unit also in parentheses."""
    unit, number = f"{BLANK}*{UNIT}?{BLANK}*", f"({number})"
    in_parentheses = rf"\(({UNIT}{BLANK}*{number}|{number}{BLANK}*{UNIT})\)"
    return rf"^({unit}[-+]?{unit}{number}{unit}|{BLANK}*{in_parentheses}{BLANK}*){end}$"


def _grouped(thousands: str) -> str:
    """Return a pattern of a number with this sign between its thousands, and another one before decimals."""
    decimal = {"comma": r"\.", "point": ","}.get(thousands, "[.,]")
    return rf"[1-9]\d{{0,2}}({SEPARATORS[thousands]}\d{{3}})+({decimal}\d*)?"


def have_thousands(texts: pa.Array) -> str | None:
    """Return the key of `SEPARATORS` that some texts need to be numbers; None if none do, or it would not be enough."""
    is_plain = pc.match_substring_regex(texts, _with_unit(DIGITS))
    for name in filter(None, SEPARATORS):
        pattern = _with_unit(_grouped(name), end=WORD_JOINER if name == "point" else "")
        grouped = pc.match_substring_regex(texts, pattern)
        if pc.any(grouped).as_py() and pc.all(pc.or_(grouped, is_plain)).as_py():
            return name
    return None


def look_like_numbers(texts: pa.Array, *, grouped: bool = False) -> pa.Array:
    """Return which texts are numbers by some setting, `grouped` also with a sign between thousands."""
    number = r"(\d+[.,]?\d*|[.,]\d+)([eE][-+]?\d+)?"
    if grouped:
        number = "|".join([number, *(_grouped(name) for name in SEPARATORS if name)])
    return pc.match_substring_regex(texts, _with_unit(number, end=f"{WORD_JOINER}?"))


def have_one_notation(texts: pa.Array, unit: str) -> pa.Array:
    """Return which texts are numbers like -1234.5 with this unit, and with none if it is empty."""
    number = pc.match_substring_regex(texts, _with_unit(DIGITS) if unit else NUMBER)
    return pc.and_(number, pc.match_substring(texts, unit))


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
    """Return the texts in which a number has the unit, before or behind it, without it.

    "-$5" and "($5)", as accountants write it, become "-5".
    """
    if unit == HOURS:
        encoded = texts.dictionary_encode()
        hours = [_hours(text) for text in encoded.dictionary.to_pylist()]
        return pa.array(hours, texts.type).take(encoded.indices)
    sign, number = re.escape(unit), rf"([-+]?{DIGITS})"
    texts = pc.replace_substring_regex(texts, rf"^{BLANK}*\(([^-+()]*{sign}[^-+()]*)\){BLANK}*$", r"-\1")
    before = rf"^{BLANK}*([-+]?){BLANK}*{sign}{BLANK}*{number}{BLANK}*$"
    behind = rf"^{BLANK}*([-+]?){BLANK}*{number}{BLANK}*{sign}{BLANK}*$"
    texts = pc.replace_substring_regex(texts, before, r"\1\2")
    return pc.replace_substring_regex(texts, behind, r"\1\2")


def _hours(text: str) -> str:
    """Return the hours of a time or a duration, and other texts as they are."""
    found = re.match(CLOCK, text)
    if found is None:
        return text
    _, days, sign, hours, minutes, _, seconds, _ = found.groups()
    value = int(hours) + int(minutes) / 60 + float(seconds or 0) / 3600
    return repr(24 * int(days or 0) + (-value if sign == "-" else value))
