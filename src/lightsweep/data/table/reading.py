"""Reading of CSV, TSV, Parquet and Feather files as DataFrames of Arrow columns.

The index of each frame numbers the rows from 0 below the header.
"""

import csv
import gzip
import re
import sys
import zlib
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from lightsweep.data.table.values import is_number
from lightsweep.errors import ConfigError, first_few
from lightsweep.files import shown

SEPARATORS = {".csv": ",;\t|", ".tsv": "\t"}  # a CSV file uses the one that is most frequent in its header
EXTENSIONS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".feather")
ENCODING_OF_START = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
GZIP_START = b"\x1f\x8b"
MISSING = ("?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A")  # "?" is used by the UCI repository
NUMBER = re.compile(r"[-+]?\d*\.?\d+(e[-+]?\d+)?", re.IGNORECASE)
WITH_COMMA = r"^\s*[-+]?\d*,\d+([eE][-+]?\d+)?\s*$"
DECIMALS = {"point": ".", "comma": ","}
YEAR = re.compile(r"(19|20)\d\d")
ROWS_BELOW_HEADER = 10
BLOCK_BYTES = 1 << 24
BATCH_ROWS = 65_536

READ_ERRORS = (OSError, EOFError, zlib.error, csv.Error, pa.ArrowException)
csv.field_size_limit(sys.maxsize)  # cells may be long

CONVERSION = re.compile(r"In CSV column #(\d+): .*CSV conversion error to [^:]+: invalid value '(.*)'", re.DOTALL)


def read_frame(
    path: Path, *, text: Collection[Hashable] = (), missing: Collection[str] | None = None, decimal: str = "."
) -> pd.DataFrame:
    """Read a whole file; the columns in `text` keep their spelling, such as "01".

    In a text file, cells are missing if they are empty or in `missing` (None: `MISSING`), and `decimal` is the decimal
    point; in text columns, numbers with a decimal comma get a point. Raises `ConfigError` if the file is missing, of an
    unknown type, empty, or damaged.
    """
    check_file(path)
    try:
        is_text = _is_text(path)
        batches = _read_text(path, text=text, missing=missing, decimal=decimal) if is_text else [*_binary_batches(path)]
    except READ_ERRORS as error:
        raise _unreadable(path, error) from error
    if not any(map(len, batches)):
        raise _no_rows(path)
    return _as_frame(batches, start=0)


def read_batches(
    path: Path, *, rows: int = BATCH_ROWS, missing: Collection[str] | None = None, decimal: str = "."
) -> Iterator[pd.DataFrame]:
    """Yield at most `rows` rows at a time, so that the file may be of any size; all cells of a text file stay text.

    Raises as `read_frame`, but only when it reaches the damaged part.
    """
    check_file(path)
    start = 0
    try:
        is_text = _is_text(path)
        batches = _text_batches(path, missing=missing, decimal=decimal) if is_text else _binary_batches(path, rows=rows)
        for batch in batches:
            for offset in range(0, len(batch), rows):
                part = batch.slice(offset, rows)
                yield _as_frame([part], start=start)
                start += len(part)
    except READ_ERRORS as error:
        raise _unreadable(path, error) from error
    if not start:
        raise _no_rows(path)


def check_file(path: Path, extensions: tuple[str, ...] = EXTENSIONS) -> None:
    """Raise `ConfigError` unless the path is a file with one of the extensions that is not empty."""
    if not path.is_file():
        raise ConfigError(f"{shown(path)} {'is not a file' if path.exists() else 'does not exist'}.")
    if not path.name.lower().endswith(extensions):
        raise ConfigError(f"{shown(path)} has an unknown extension; it must be one of {', '.join(extensions)}.")
    if path.stat().st_size == 0:
        raise ConfigError(f"{shown(path)} is empty.")


def has_unnamed(path: Path) -> bool:
    """True if a column of a text file has no name, as a saved index; such columns are not read."""
    return _is_text(path) and not all(_header(path))


def row_location(path: Path, row: int) -> str:
    """Return the line of a row in a text file, or its number from 0 in a binary file."""
    if _is_text(path):
        for line, _ in islice(_records(path), row + 1, None):
            return f"{shown(path)}, line {line}"
    return f"{shown(path)}, row {row} (counted from 0)"


def _is_text(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(tuple(SEPARATORS))


def _is_gzip(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _open_text(path: Path) -> TextIO:
    file: TextIO = (gzip.open if _is_gzip(path) else open)(path, "rt", encoding="utf-8-sig", newline="")
    return file


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each record, including the header, with its first line; blank lines are skipped."""
    with _open_text(path) as file:
        reader = csv.reader(file, delimiter=_separator(path))
        line = 1
        for record in reader:
            if record:
                yield line, record
            line = reader.line_num + 1


def _separator(path: Path) -> str:
    extension = ".tsv" if ".tsv" in path.name.lower()[-7:] else ".csv"
    try:
        with _open_text(path) as file:
            header = next((line for line in file if line.strip()), "")
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    return max(SEPARATORS[extension], key=header.count)


def _header(path: Path) -> list[str]:
    """Return the names of the columns; raises `ConfigError` if there is no header, or a name is repeated."""
    first = [*islice(_records(path), 2)]
    names = [name.strip() for name in (first[0][1] if first else [])]
    if len(first) == 1 and any("\n" in name for name in names):
        raise _unclosed_quote(path, first[0][0])
    if not any(names):
        raise ConfigError(f"{shown(path)} is empty: it has no header.")
    if _look_like_values(names) and not _name_numeric_columns(names, path):
        raise ConfigError(
            f"{shown(path)} has no header: its first line, {','.join(names[:6])!r}, holds numbers. Put a line"
            " above it that names the columns; or, if these are names, begin each of them with a letter."
        )
    _check_names(path, names)
    return names


def _check_names(path: Path, names: Collection[str]) -> None:
    twice = [name for name, n in Counter(names).items() if n > 1 and name]
    if twice:
        columns = [str(i) for i, name in enumerate(names, start=1) if name == twice[0]]
        line = ", line 1" if _is_text(path) else ""
        raise ConfigError(
            f"{shown(path)}{line}: the columns {first_few(columns, between=' and ')} are both named"
            f" '{twice[0]}'. Rename one."
        )


def _look_like_values(names: Collection[str]) -> bool:
    """True if names are numbers, except years and a sequence such as 0, 1, 2."""
    numbers = [float(name) for name in names if NUMBER.fullmatch(name) and not YEAR.fullmatch(name)]
    is_sequence = len(numbers) > 1 and all(b - a == 1 for a, b in pairwise(numbers))
    return bool(numbers) and not is_sequence


def _name_numeric_columns(names: Sequence[str], path: Path) -> bool:
    """True if a text in the first line has only numbers below it, so that the first line is a header."""
    records = islice(_records(path), 1, 1 + ROWS_BELOW_HEADER)
    below = [[cell.strip().replace(",", ".") for cell in record] for _, record in records]
    for name, cells in zip(names, zip(*below, strict=False), strict=False):
        is_text = name not in ("", *MISSING) and not NUMBER.fullmatch(name)
        present = [cell for cell in cells if cell not in ("", *MISSING)]
        if is_text and present and all(NUMBER.fullmatch(cell) for cell in present):
            return True
    return False


def _read_text(
    path: Path, *, text: Collection[Hashable], missing: Collection[str] | None, decimal: str
) -> list[pa.RecordBatch]:
    """Read with the types of the first block; start again with a wider type if a later block needs it."""
    types = dict.fromkeys(map(str, text), pa.string())
    names = _header(path)
    while True:
        try:
            return [*_text_batches(path, types=types, missing=missing, decimal=decimal)]
        except pa.ArrowInvalid as error:
            if (found := CONVERSION.search(str(error))) is None:
                raise
            name = names[int(found[1])]
            is_float = is_number(found[2].replace(decimal, ".")) and types.get(name) != pa.float64()
            types[name] = pa.float64() if is_float else pa.string()


def _text_batches(
    path: Path, *, types: dict[str, pa.DataType] | None = None, missing: Collection[str] | None, decimal: str
) -> Iterator[pa.RecordBatch]:
    """Yield the blocks of the file, with `types` for some columns; None reads all columns as text."""
    names = _header(path)
    reader = pyarrow.csv.open_csv(
        pa.input_stream(str(path), compression="gzip" if _is_gzip(path) else None),
        read_options=pyarrow.csv.ReadOptions(
            use_threads=False,
            block_size=BLOCK_BYTES,
            column_names=names,
            skip_rows=next(_records(path))[0] - 1,  # blank lines above the header
            skip_rows_after_names=1,
        ),
        parse_options=pyarrow.csv.ParseOptions(delimiter=_separator(path), newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()) if types is None else types,
            include_columns=[name for name in names if name],  # a saved index has no name
            null_values=["", *(MISSING if missing is None else missing)],
            strings_can_be_null=True,
            decimal_point=decimal,
            true_values=["\0"],  # "yes" and "True" keep their spelling, because they may be class names
            false_values=["\0"],
        ),
    )
    if any(pa.types.is_binary(field.type) for field in reader.schema):
        raise _not_utf8(path)
    last = None
    for batch in reader:
        if len(batch):
            last = batch
            yield batch if decimal == "." else _with_points(batch)
    if last is not None and "\n" in str(last.columns[-1][-1]):  # an unclosed quote includes all that follows
        _check_quotes(path)


def _with_points(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Replace the decimal comma by a point in texts that are numbers."""
    columns = [
        pc.if_else(pc.match_substring_regex(column, WITH_COMMA), pc.replace_substring(column, ",", "."), column)
        if pa.types.is_string(column.type)
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _binary_batches(path: Path, *, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    if path.name.lower().endswith(".parquet"):
        with pyarrow.parquet.ParquetFile(path) as file:
            _check_names(path, file.schema_arrow.names)
            yield from file.iter_batches(batch_size=rows)
        return
    with pa.ipc.open_file(pa.memory_map(str(path))) as file:
        _check_names(path, file.schema.names)
        yield from (file.get_batch(i) for i in range(file.num_record_batches))


def _as_frame(batches: Sequence[pa.RecordBatch], *, start: int) -> pd.DataFrame:
    table = pa.Table.from_batches(batches)
    saved_index = [name for name in table.column_names if name.startswith("__index_level_")]
    frame: pd.DataFrame = table.drop_columns(saved_index).to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
    frame.index = pd.RangeIndex(start, start + len(frame))
    return frame


def _no_rows(path: Path) -> ConfigError:
    return ConfigError(f"{shown(path)} holds no rows{' below its header' if _is_text(path) else ''}.")


def _check_quotes(path: Path) -> None:
    """Raise `ConfigError` if the file ends inside double quotes, with the line where they open."""
    line = 1
    with _open_text(path) as file:
        reader = csv.reader(file, delimiter=_separator(path), strict=True)
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise _unclosed_quote(path, line) from None


def _unclosed_quote(path: Path, line: int) -> ConfigError:
    return ConfigError(f"{shown(path)}, line {line} opens a double quote that is never closed.")


def _unreadable(path: Path, error: Exception) -> ConfigError:
    message = str(error)
    if "UTF8" in message:
        return _not_utf8(path)
    if "Expected" in message and "columns, got" in message:
        return _ragged(path)
    return ConfigError(f"{shown(path)} can't be read: {' '.join(message.split())}")


def _ragged(path: Path) -> ConfigError:
    _check_quotes(path)
    records = _records(path)
    _, header = next(records)
    for line, record in records:
        if len(record) != len(header):
            return ConfigError(
                f"{shown(path)}, line {line} has {len(record)} cells, but the header names {len(header)} columns."
                f" A text that holds a {_separator(path)!r} must be in double quotes."
            )
    return ConfigError(f"{shown(path)} has rows of different lengths.")


def _not_utf8(path: Path) -> ConfigError:
    with (gzip.open if _is_gzip(path) else open)(path, "rb") as file:
        start = file.read(2)
        if encoding := ENCODING_OF_START.get(start):
            return ConfigError(
                f"{shown(path)} is {encoding}. Save it as UTF-8, for example with:"
                f" iconv -f utf-16 -t utf-8 {path.name} > utf8.csv"
            )
        if start == GZIP_START:
            return ConfigError(f"{shown(path)} is compressed by gzip. Name it {path.name}.gz.")
        file.seek(0)
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return ConfigError(
                    f"{shown(path)}, line {number} is not UTF-8 text: byte {line[error.start]:#04x} after"
                    f" {line[max(0, error.start - 20) : error.start].decode('utf-8', 'replace')!r}. Save it as UTF-8,"
                    f" for example with: iconv -f latin1 -t utf-8 {path.name} > utf8.csv"
                )
    return ConfigError(f"{shown(path)} is not UTF-8 text.")
