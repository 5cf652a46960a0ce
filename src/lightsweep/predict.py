"""Predict the rows of a file: python -m lightsweep.predict outputs/.../best new.csv -o predictions.csv"""

import argparse
import functools
import itertools
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightsweep.data.unseen_levels import UnseenLevels
from lightsweep.errors import ConfigError
from lightsweep.files import replacing, shown
from lightsweep.interrupt import exits_on_error

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from lightsweep.export.predictor import Predictor, Rows

    Batch = tuple[Rows, Callable[[int], str] | None]  # rows, and the location of each in its file

BATCH_ROWS = 50_000
ARRAYS = (".npy", ".npz")
OUTPUTS = (".csv", ".parquet")


def main() -> None:
    arguments = _parser().parse_args()
    with exits_on_error(stopped="stopped; nothing was written"), _warnings_on_one_line():
        n_rows = predict_file(arguments.model, arguments.data, arguments.output)
    print(f"{n_rows} predictions, in {shown(arguments.output)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lightsweep.predict", description="Predict the rows of a file.")
    parser.add_argument("model", type=Path, help="folder of a model: best/ of a search, or the folder of refit=true")
    parser.add_argument(
        "data", type=Path, help="rows to predict: .csv, .csv.gz, .tsv, .parquet, .feather, .npy or .npz"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("predictions.csv"), help=".csv or .parquet; replaced")
    return parser


@contextmanager
def _warnings_on_one_line() -> Iterator[None]:
    """Print each warning without its location, and once, although every batch may raise it; add up unseen levels."""
    printed: set[str] = set()
    unseen: dict[str, UnseenLevels] = {}

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if isinstance(message, UnseenLevels):
            unseen.setdefault(message.column, UnseenLevels(message.column, known=message.known)).add(message)
        elif str(message) not in printed:
            printed.add(str(message))
            print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield
    for total in unseen.values():
        print(f"warning: {total}", file=sys.stderr)


def predict_file(model: Path, data: Path, output: Path) -> int:
    """Predict every row of a table or an array, in batches, and return the number of rows.

    The output has the columns of `table_of`, and the rows in the order of the data. It appears, and replaces an earlier
    one, only when it is complete. Raises `ConfigError` if the model, the data or the output can't be used.
    """
    _check_paths(data, output)

    from lightsweep.export.predictor import Predictor

    predictions = _predictions(Predictor.from_folder(model), data)
    try:
        with replacing(output) as temporary:
            return {".csv": _write_csv, ".parquet": _write_parquet}[output.suffix](temporary, predictions)
    except OSError as error:
        raise ConfigError(f"{output} can't be written: {error.strerror or error}") from error


def _check_paths(data: Path, output: Path) -> None:
    """Check the paths first, because loading the model takes seconds."""
    if not data.is_file():
        raise ConfigError(f"{data} is not a file; give the rows to predict as a table or an array.")
    if output.suffix not in OUTPUTS:
        raise ConfigError(f"-o is {output}; its name must end in {' or '.join(OUTPUTS)}.")
    if output.resolve() == data.resolve():
        raise ConfigError(f"-o is {output}, which holds the rows to predict; give another file.")
    if output.is_dir():
        raise ConfigError(f"-o is {output}, which is a folder; give a file.")
    if not output.parent.is_dir():
        raise ConfigError(f"-o is {output}; {output.parent} must be a folder that exists.")


def _predictions(predictor: "Predictor", data: Path) -> "Iterator[pd.DataFrame]":
    is_array = data.suffix in ARRAYS
    if is_array and not predictor.takes_arrays:
        raise ConfigError(f"{data} is an array, but this model was trained on a table and needs its column names.")
    if not is_array and predictor.columns is None:
        raise ConfigError(f"{data}: this model was trained on an array and takes one, as {' or '.join(ARRAYS)}.")
    for rows, where in _array_batches(data) if is_array else _table_batches(data, predictor=predictor):
        try:
            outputs = predictor.outputs(rows, where=where)
        except ConfigError as error:
            message = str(error)
            raise ConfigError(message if message.startswith(shown(data)) else f"{shown(data)}: {message}") from error
        yield table_of(predictor, outputs)


def _table_batches(path: Path, *, predictor: "Predictor") -> "Iterator[Batch]":
    from lightsweep.data.reading.frames import read_batches, row_location

    assert predictor.columns is not None
    dialect = predictor.columns.dialect
    where = functools.partial(row_location, path, dialect=dialect)
    for frame in read_batches(path, rows=BATCH_ROWS, dialect=dialect):
        yield frame, where


def _array_batches(path: Path) -> "Iterator[Batch]":
    """Yield slices of the array in the file. A `.npy` is mapped into memory; an `.npz` is read as a whole."""
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if path.suffix == ".npz":
            array = array["x" if "x" in array.files else array.files[0]]
        n_rows = len(array)
    except Exception as error:
        reason = "it holds Python objects" if "allow_pickle" in str(error) else error
        raise ConfigError(f"{path} can't be read as an array: {reason}") from error
    for start in range(0, max(n_rows, 1), BATCH_ROWS):
        yield array[start : start + BATCH_ROWS], None


def table_of(predictor: "Predictor", outputs: "npt.NDArray[np.float32]") -> "pd.DataFrame":
    """Return the columns `<target>` and `probability_<class>` for each class, or one for each target of a regression.

    If the target itself has the name of such a column, the probabilities are `probability_<target>_<class>`.
    """
    import pandas as pd

    names = list(predictor.target.names)
    if not predictor.classes:
        return pd.DataFrame(outputs, columns=names)
    columns = [f"probability_{name}" for name in predictor.classes]
    if names[0] in columns:
        columns = [f"probability_{names[0]}_{name}" for name in predictor.classes]
    labels = pd.DataFrame({names[0]: predictor.most_probable(outputs)})
    return labels.join(pd.DataFrame(outputs, columns=columns))


def _write_csv(path: Path, tables: "Iterator[pd.DataFrame]") -> int:
    n_rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for i, table in enumerate(tables):
            table.to_csv(file, index=False, header=i == 0)
            n_rows += len(table)
    return n_rows


def _write_parquet(path: Path, tables: "Iterator[pd.DataFrame]") -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    n_rows = 0
    batches = (pa.Table.from_pandas(table, preserve_index=False) for table in tables)
    first = next(batches)  # there is always one, of no rows for an array of no rows
    with pq.ParquetWriter(path, first.schema) as writer:
        for batch in itertools.chain([first], batches):
            writer.write_table(batch)
            n_rows += len(batch)
    return n_rows


if __name__ == "__main__":
    main()
