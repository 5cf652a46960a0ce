"""How a text file is written."""

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lightsweep.config.validation import is_encoding
from lightsweep.data.reading.numbers import SEPARATORS, plain_numbers

DECIMALS = {"point": ".", "comma": ","}
# "?" is used by the UCI repository.
MISSING = ("?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A")


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """The encoding (None: UTF-8), the signs in numbers, and the texts that are missing cells beside empty ones.

    `missing` is None for `MISSING`, and `thousands` is a key of `SEPARATORS`.
    """

    missing: tuple[str, ...] | None = None
    decimal: str = "."
    thousands: str | None = None
    encoding: str | None = None

    @property
    def missing_texts(self) -> tuple[str, ...]:
        return MISSING if self.missing is None else self.missing

    @property
    def codec(self) -> str:
        """The encoding by Python's name; UTF-8 may begin with a byte order mark."""
        name = codecs.lookup(self.encoding or "utf-8").name
        return "utf-8-sig" if name == "utf-8" else name

    def to_record(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        return {**vars(self), "missing": self.missing and [*self.missing]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Dialect":
        """Read a record of `to_record`; raises `ValueError` if it is malformed."""
        missing: Sequence[str] | None = record.get("missing")
        thousands = record.get("thousands")
        if thousands not in SEPARATORS:
            raise ValueError(f"{thousands!r} is no separator of thousands")
        if not is_encoding(record.get("encoding") or "utf-8"):
            raise ValueError(f"{record['encoding']!r} is no encoding")
        return cls(
            missing=None if missing is None else tuple(map(str, missing)),
            decimal="," if record.get("decimal") == "," else ".",
            thousands=thousands,
            encoding=record.get("encoding"),
        )


def in_dialect(texts: pa.Array, dialect: Dialect) -> pa.Array:
    """Return the texts with their numbers written like -1234.5; see `plain_numbers`."""
    return plain_numbers(texts, decimal=dialect.decimal, thousands=dialect.thousands)
