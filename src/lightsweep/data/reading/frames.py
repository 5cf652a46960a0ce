"""Tables from CSV, TSV, Parquet and Feather files, as DataFrames of Arrow columns.

The index of each frame numbers the rows from 0 below the header.
"""

import base64
import csv
import zlib
from collections.abc import Collection, Hashable, Iterator, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from lightsweep.data.reading.dialect import Dialect
from lightsweep.data.reading.spelling import normalized
from lightsweep.data.reading.text import read_text, text_batches, texts_read_as_missing, why_unreadable
from lightsweep.data.reading.text_file import TextFile, check_names, is_text
from lightsweep.errors import ConfigError
from lightsweep.files import shown

EXTENSIONS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".feather")
BATCH_ROWS = 65_536
READ_ERRORS = (OSError, EOFError, zlib.error, csv.Error, pa.ArrowException, UnicodeError)
UTF_8 = Dialect()


def read_frame(path: Path, *, text: Collection[Hashable] = (), dialect: Dialect = UTF_8) -> pd.DataFrame:
    """Read a whole file; in a text file the columns in `text`, and those with leading zeros, keep their spelling.

    Raises `ConfigError` if the file is missing, of an unknown type, empty, or damaged.
    """
    check_file(path)
    try:
        if is_text(path):
            table = read_text(TextFile(path, dialect), text=text)
        else:
            table = pa.Table.from_batches(_binary_batches(path))
    except READ_ERRORS as error:
        raise _unreadable(path, error, dialect) from error
    if not len(table):
        raise _no_rows(path)
    return _as_frame(table, start=0)


def read_batches(path: Path, *, rows: int = BATCH_ROWS, dialect: Dialect = UTF_8) -> Iterator[pd.DataFrame]:
    """Yield at most `rows` rows at a time, so that the file may be of any size; all cells of a text file stay text.

    Raises as `read_frame`, but only when it reaches the damaged part.
    """
    check_file(path)
    start = 0
    try:
        for batch in text_batches(TextFile(path, dialect)) if is_text(path) else _binary_batches(path, rows=rows):
            for offset in range(0, len(batch), rows):
                part = batch.slice(offset, rows)
                yield _as_frame(pa.Table.from_batches([part]), start=start)
                start += len(part)
    except READ_ERRORS as error:
        raise _unreadable(path, error, dialect) from error
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


def column_names(path: Path, *, dialect: Dialect = UTF_8) -> list[str]:
    """Return the names of the columns in a text file, "" for one without a name; an empty list for other files."""
    try:
        return TextFile(path, dialect).names if is_text(path) else []
    except READ_ERRORS as error:
        raise _unreadable(path, error, dialect) from error


def missing_texts(path: Path, name: str, *, dialect: Dialect) -> Mapping[str, int]:
    """Return how often each text that is read as missing is in a column; in a binary file there are none."""
    return texts_read_as_missing(TextFile(path, dialect), name) if is_text(path) else {}


def row_location(path: Path, row: int, *, dialect: Dialect = UTF_8) -> str:
    """Return the line of a row in a text file, or its number from 0 in a binary file."""
    if is_text(path):
        return f"{shown(path)}, line {TextFile(path, dialect).line_of(row)}"
    return f"{shown(path)}, row {row} (counted from 0)"


def _binary_batches(path: Path, *, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    if path.name.lower().endswith(".parquet"):
        with pyarrow.parquet.ParquetFile(path) as file:
            check_names([*map(normalized, file.schema_arrow.names)], where=shown(path))
            categories = _categories_in(file)
            for batch in file.iter_batches(batch_size=rows):
                yield _with_categories(batch, categories)
        return
    with pa.ipc.open_file(pa.memory_map(str(path))) as file:
        check_names([*map(normalized, file.schema.names)], where=shown(path))
        yield from (file.get_batch(i) for i in range(file.num_record_batches))


def _as_frame(table: pa.Table, *, start: int) -> pd.DataFrame:
    saved_index = [name for name in table.column_names if name.startswith("__index_level_")]
    table = table.drop_columns(saved_index)
    table = table.rename_columns([normalized(name) for name in table.column_names])
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
    frame.index = pd.RangeIndex(start, start + len(frame))
    return frame


def _categories_in(file: pyarrow.parquet.ParquetFile) -> set[str]:
    """Return the columns that were written as categories or dictionaries; Parquet keeps this type for texts alone."""
    columns = (file.schema_arrow.pandas_metadata or {}).get("columns", [])
    names = {column["field_name"] for column in columns if column["pandas_type"] == "categorical"}
    written = (file.metadata.metadata or {}).get(b"ARROW:schema")
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(written))) if written else ()
    return names | {field.name for field in schema if pa.types.is_dictionary(field.type)}


def _with_categories(batch: pa.RecordBatch, names: Collection[str]) -> pa.RecordBatch:
    columns = [
        column.dictionary_encode() if name in names else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _no_rows(path: Path) -> ConfigError:
    return ConfigError(f"{shown(path)} holds no rows{' below its header' if is_text(path) else ''}.")


def _unreadable(path: Path, error: Exception, dialect: Dialect) -> ConfigError:
    if is_text(path):
        return why_unreadable(TextFile(path, dialect), error)
    return ConfigError(f"{shown(path)} can't be read: {' '.join(str(error).split())}")
