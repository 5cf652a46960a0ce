"""A text file: its header, its separator, and its records with their lines."""

import csv
import gzip
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import TextIO

from lightsweep.data.reading.dialect import MISSING, Dialect
from lightsweep.data.reading.spelling import normalized
from lightsweep.errors import ConfigError, first_few
from lightsweep.files import shown

SEPARATORS = {".csv": ",;\t|", ".tsv": "\t"}  # a CSV file uses the one that is most frequent in its header
NUMBER = re.compile(r"[-+]?\d*\.?\d+(e[-+]?\d+)?", re.IGNORECASE)
YEAR = re.compile(r"(19|20)\d\d")
ROWS_BELOW_HEADER = 10
ENCODING_OF_START = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
GZIP_START = b"\x1f\x8b"
csv.field_size_limit(sys.maxsize)  # cells may be long


def is_text(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(tuple(SEPARATORS))


def check_names(names: Collection[str], *, where: str) -> None:
    """Raise `ConfigError` if two columns have one name; `where` begins the message."""
    twice = [name for name, n in Counter(names).items() if n > 1 and name]
    if twice:
        columns = [str(i) for i, name in enumerate(names, start=1) if name == twice[0]]
        raise ConfigError(
            f"{where}: the columns {first_few(columns, between=' and ')} are both named '{twice[0]}'. Rename one."
        )


@dataclass(frozen=True)
class TextFile:
    """A CSV or TSV file, plain or compressed by gzip, with a header.

    Its properties raise `ConfigError` if the header is missing, or the file is in another encoding.
    """

    path: Path
    dialect: Dialect

    @property
    def is_gzip(self) -> bool:
        return self.path.name.lower().endswith(".gz")

    @cached_property
    def separator(self) -> str:
        extension = ".tsv" if ".tsv" in self.path.name.lower()[-7:] else ".csv"
        try:
            with self._open() as file:
                header = next((line for line in file if line.strip()), "")
        except UnicodeError:
            raise self.wrong_encoding() from None
        return max(SEPARATORS[extension], key=header.count)

    @cached_property
    def names(self) -> list[str]:
        """The names of the columns, "" for one without a name."""
        first = [*islice(self.records(), 2)]
        names = [normalized(name) for name in (first[0][1] if first else [])]
        if len(first) == 1 and any("\n" in name for name in names):
            raise self.unclosed_quote(first[0][0])
        if not any(names):
            raise ConfigError(f"{shown(self.path)} is empty: it has no header.")
        if _look_like_values(names) and not self._names_numeric_columns(names):
            raise ConfigError(
                f"{shown(self.path)} has no header: its first line, {','.join(names[:6])!r}, holds numbers. Put a line"
                " above it that names the columns; or, if these are names, begin each of them with a letter."
            )
        check_names(names, where=f"{shown(self.path)}, line 1")
        return names

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each record, including the header, with its first line; blank lines are skipped."""
        with self._open() as file:
            reader = csv.reader(file, delimiter=self.separator)
            line = 1
            for record in reader:
                if record:
                    yield line, record
                line = reader.line_num + 1

    def line_of(self, row: int) -> int:
        """Return the line of a row, which is counted from 0 below the header."""
        lines = (line for line, _ in islice(self.records(), row + 1, None))
        return next(lines, row + 2)  # the file may have changed since it was read

    def check_quotes(self) -> None:
        """Raise `ConfigError` if the file ends inside double quotes, with the line where they open."""
        line = 1
        with self._open() as file:
            reader = csv.reader(file, delimiter=self.separator, strict=True)
            try:
                for _ in reader:
                    line = reader.line_num + 1
            except csv.Error as error:
                if "unexpected end of data" in str(error):
                    raise self.unclosed_quote(line) from None

    def unclosed_quote(self, line: int) -> ConfigError:
        return ConfigError(f"{shown(self.path)}, line {line} opens a double quote that is never closed.")

    def wrong_encoding(self) -> ConfigError:
        """Return an error that names the first line that is not in the encoding."""
        name, encoding = self.path.name, self.dialect.encoding
        with (gzip.open if self.is_gzip else open)(self.path, "rb") as file:
            start = file.read(2)
            if start == GZIP_START:
                return ConfigError(f"{shown(self.path)} is compressed by gzip. Name it {name}.gz.")
            if start in ENCODING_OF_START and encoding is None:
                return ConfigError(f"{shown(self.path)} is {ENCODING_OF_START[start]}. Set data.encoding=utf-16.")
            if encoding is not None:
                return ConfigError(f"{shown(self.path)} is not {encoding}: data.encoding is {encoding}. Correct it.")
            file.seek(0)
            for number, line in enumerate(file, start=1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError as error:
                    before = line[max(0, error.start - 20) : error.start].decode("utf-8", "replace")
                    return ConfigError(
                        f"{shown(self.path)}, line {number} is not UTF-8 text: byte {line[error.start]:#04x} after"
                        f" {before!r}. Set data.encoding, such as latin-1 or cp1252."
                    )
        return ConfigError(f"{shown(self.path)} is not UTF-8 text. Set data.encoding.")

    def _open(self) -> TextIO:
        opened = gzip.open if self.is_gzip else open
        file: TextIO = opened(self.path, "rt", encoding=self.dialect.codec, newline="")
        return file

    def _names_numeric_columns(self, names: Sequence[str]) -> bool:
        """True if a text in the first line has only numbers below it, so that the first line is a header."""
        records = islice(self.records(), 1, 1 + ROWS_BELOW_HEADER)
        below = [[cell.strip().replace(",", ".") for cell in record] for _, record in records]
        for name, cells in zip(names, zip(*below, strict=False), strict=False):
            is_name = name not in ("", *MISSING) and not NUMBER.fullmatch(name)
            present = [cell for cell in cells if cell not in ("", *MISSING)]
            if is_name and present and all(NUMBER.fullmatch(cell) for cell in present):
                return True
        return False


def _look_like_values(names: Collection[str]) -> bool:
    """True if names are numbers, except years and a sequence such as 0, 1, 2."""
    numbers = [float(name) for name in names if NUMBER.fullmatch(name) and not YEAR.fullmatch(name)]
    is_sequence = len(numbers) > 1 and all(b - a == 1 for a, b in pairwise(numbers))
    return bool(numbers) and not is_sequence
