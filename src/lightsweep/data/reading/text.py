"""Text files as Arrow tables."""

import re
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from lightsweep.data.reading.dialect import Dialect, in_dialect
from lightsweep.data.reading.numbers import are_numbers, have_leading_zeros, is_number, trimmed
from lightsweep.data.reading.text_file import TextFile
from lightsweep.errors import ConfigError
from lightsweep.files import shown

BLOCK_BYTES = 1 << 24
SAMPLE_SIZE = 100  # of a column, to see that it is not of numbers
CONVERSION = re.compile(r"In CSV column #(\d+): .*CSV conversion error to [^:]+: invalid value '(.*)'", re.DOTALL)

Types = Mapping[str, pa.DataType]


def read_text(file: TextFile, *, text: Collection[Hashable] = ()) -> pa.Table:
    """Read numbers as numbers, except columns in `text` and those that have leading zeros, which are codes."""
    as_text = dict.fromkeys(map(str, text), pa.string())
    # Arrow would read 01234 as 1234, and 08:30 as a time, which a prediction reads as text.
    kept = [field.name for field in _reader(file, as_text).schema if _may_lose_spelling(field.type)]
    table = _read(file, types={**as_text, **dict.fromkeys(kept, pa.string())})
    return _with_numbers(table, text=as_text, dialect=file.dialect)


def _may_lose_spelling(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_time(kind) or pa.types.is_null(kind))


def text_batches(
    file: TextFile, *, types: Types | None = None, names: Collection[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the blocks of the file, with `types` for some columns; None reads all columns as text.

    `names` are the columns to read; None are all that have a name.
    """
    last = None
    for batch in _reader(file, types, names):
        if len(batch):
            last = batch
            yield batch
    if last is not None and "\n" in str(last.columns[-1][-1]):  # an unclosed quote includes all that follows
        file.check_quotes()


def _reader(
    file: TextFile, types: Types | None, names: Collection[str] | None = None
) -> pyarrow.csv.CSVStreamingReader:
    """Open the file and read its first block, from which the types of the other columns follow."""
    dialect = file.dialect
    reader = pyarrow.csv.open_csv(
        pa.input_stream(str(file.path), compression="gzip" if file.is_gzip else None),
        read_options=pyarrow.csv.ReadOptions(
            use_threads=False,
            block_size=BLOCK_BYTES,
            column_names=file.names,
            skip_rows=next(file.records())[0] - 1,  # blank lines above the header
            skip_rows_after_names=1,
            encoding=dialect.encoding or "utf8",
        ),
        parse_options=pyarrow.csv.ParseOptions(delimiter=file.separator, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(file.names, pa.string()) if types is None else types,
            include_columns=[name for name in file.names if name and (names is None or name in names)],
            null_values=["", *dialect.missing_texts],
            strings_can_be_null=True,
            decimal_point=dialect.decimal,
            true_values=["\0"],  # "yes" and "True" keep their spelling, because they may be class names
            false_values=["\0"],
        ),
    )
    if any(pa.types.is_binary(field.type) for field in reader.schema):
        raise file.wrong_encoding()
    return reader


def texts_read_as_missing(file: TextFile, name: str) -> Counter[str]:
    """Return how often each text that is read as missing is in a column."""
    everything = TextFile(file.path, replace(file.dialect, missing=()))
    found: Counter[str] = Counter()
    for batch in text_batches(everything, names=[name]):
        counts = pc.value_counts(batch.column(0)).to_pylist()
        found.update({count["values"]: count["counts"] for count in counts})
    return Counter({text: n for text, n in found.items() if text in file.dialect.missing_texts})


def why_unreadable(file: TextFile, error: Exception) -> ConfigError:
    """Return an error with the line and the remedy, where they can be found."""
    message = str(error)
    if isinstance(error, UnicodeError) or "UTF8" in message:
        return file.wrong_encoding()
    if "Expected" in message and "columns, got" in message:
        return _ragged(file)
    return ConfigError(f"{shown(file.path)} can't be read: {' '.join(message.split())}")


def _read(file: TextFile, *, types: Types) -> pa.Table:
    """Read with the types of the first block; start again with a wider type if a later block needs it."""
    types = dict(types)
    while True:
        try:
            batches = [*text_batches(file, types=types)]
            return pa.Table.from_batches(batches) if batches else pa.table({})
        except pa.ArrowInvalid as error:
            if (found := CONVERSION.search(str(error))) is None:
                raise
            name = file.names[int(found[1])]
            is_float = is_number(found[2].replace(file.dialect.decimal, ".")) and types.get(name) != pa.float64()
            types[name] = pa.float64() if is_float else pa.string()


def _with_numbers(table: pa.Table, *, text: Types, dialect: Dialect) -> pa.Table:
    """Convert the columns of numbers and blanks without leading zeros; others keep their spelling."""
    for i, field in enumerate(table.schema):
        if pa.types.is_string(field.type) and field.name not in text:
            column = trimmed(table.column(i))
            sample = in_dialect(column.drop_null().slice(0, SAMPLE_SIZE), dialect)
            if not len(sample) or not are_numbers(sample):
                continue
            column = in_dialect(column, dialect)
            if are_numbers(column) and not have_leading_zeros(column):
                table = table.set_column(i, field.name, _to_numbers(column))
    return table


def _to_numbers(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return texts.cast(pa.int64())
    except pa.ArrowInvalid:
        return texts.cast(pa.float64())


def _ragged(file: TextFile) -> ConfigError:
    file.check_quotes()
    records = file.records()
    _, header = next(records)
    for line, record in records:
        if len(record) != len(header):
            return ConfigError(
                f"{shown(file.path)}, line {line} has {len(record)} cells, but the header names {len(header)} columns."
                f" A text that holds a {file.separator!r} must be in double quotes."
            )
    return ConfigError(f"{shown(file.path)} has rows of different lengths.")
