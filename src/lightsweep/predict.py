"""Predicts the rows of a file: python -m lightsweep.predict outputs/.../best new.csv -o predictions.csv"""

import argparse
import functools
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lightsweep.errors import ConfigError
from lightsweep.files import replacing, shown

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from lightsweep.export.predictor import Predictor

BATCH_ROWS = 50_000
ARRAYS = (".npy", ".npz")
OUTPUTS = (".csv", ".parquet")


def main() -> None:
    arguments = _parser().parse_args()
    try:
        with _warnings_in_one_line():
            n_rows = predict_file(arguments.model, arguments.data, arguments.output)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        sys.exit(130)
    print(f"{n_rows} predictions, in {shown(arguments.output)}")


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """And each once, of all batches together."""
    told: set[str] = set()

    def tell(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in told:
            told.add(str(message))
            print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = tell
        yield


def predict_file(model: Path, data: Path, output: Path) -> int:
    """Predict every row of a table or an array, a batch at a time, and give their number.

    The output has a row per row of the data, in its order: the class and a probability per class, or the values. It
    appears, and replaces one that is there, when it is complete. Raises `ConfigError` for what the user can mend.
    """
    _check_paths(data, output)

    from lightsweep.export.predictor import Predictor

    predictor = Predictor.from_folder(model)
    n_rows = 0
    with _writer(output) as writer:
        for rows, place in _batches(data, predictor=predictor):
            with _file_is_named(data):
                outputs = predictor.outputs(rows, **place)
            predictions = table_of(predictor, outputs)
            writer.write(predictions)
            n_rows += len(predictions)
    return n_rows


@contextmanager
def _file_is_named(path: Path) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        told = str(error)
        raise ConfigError(told if told.startswith(shown(path)) else f"{shown(path)}: {told}") from error


def table_of(predictor: "Predictor", outputs: "npt.NDArray[np.float32]") -> "pd.DataFrame":
    """The predictions as columns: `<target>` and `probability_<class>` for each class, or one for each target.

    A target that is itself named like one of these probabilities has them as `probability_<target>_<class>`.
    """
    import pandas as pd

    names = list(predictor.target.names)
    if not predictor.classes:
        return pd.DataFrame(outputs, columns=names)
    labels = pd.DataFrame({names[0]: predictor.named(outputs)})
    return labels.join(pd.DataFrame(outputs, columns=_probability_names(names[0], predictor.classes)))


def _probability_names(target: str, classes: Sequence[int | str]) -> list[str]:
    names = [f"probability_{name}" for name in classes]
    return [f"probability_{target}_{name}" for name in classes] if target in names else names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lightsweep.predict", description="Predict the rows of a file.")
    parser.add_argument("model", type=Path, help="folder of a shipped model: best/ of a search, or that of refit=true")
    parser.add_argument(
        "data", type=Path, help="rows to predict: .csv, .csv.gz, .tsv, .parquet, .feather, .npy or .npz"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("predictions.csv"), help=".csv or .parquet; replaced")
    return parser


def _check_paths(data: Path, output: Path) -> None:
    """Before the seconds that the model takes to load."""
    if not data.is_file():
        raise ConfigError(f"{data} is no file; give the rows to predict as a table or an array.")
    if output.suffix not in OUTPUTS:
        raise ConfigError(f"-o is {output}; predictions are written as {' or '.join(OUTPUTS)}, told by the ending.")
    if output.resolve() == data.resolve():
        raise ConfigError(f"-o is {output}, which holds the rows to predict; give another file.")
    if output.is_dir() or not output.parent.is_dir():
        raise ConfigError(
            f"-o is {output}; {output if output.is_dir() else output.parent} must be a folder that exists."
        )


def _batches(data: Path, *, predictor: "Predictor") -> Iterator[tuple[Any, dict[str, Any]]]:
    """Some rows at a time, with how to say where one is."""
    if data.suffix in ARRAYS:
        if not predictor.takes_arrays:
            raise ConfigError(f"{data} is an array, but this model was trained on a table and needs its column names.")
        yield from ((rows, {}) for rows in _array_batches(data))
        return
    if not predictor.takes_frames:
        raise ConfigError(f"{data}: this model was trained on an array and takes one, as {' or '.join(ARRAYS)}.")
    from lightsweep.data.table.reading import read_batches, row_location

    where = functools.partial(row_location, data)
    frames = read_batches(data, rows=BATCH_ROWS, missing=predictor.missing, decimal=predictor.decimal)
    yield from ((frame, {"where": where}) for frame in frames)


def _array_batches(path: Path) -> "Iterator[npt.NDArray[Any]]":
    """Slices of the file: a `.npy` is never in memory as a whole, the only array of an `.npz` or its `x` is."""
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if path.suffix == ".npz":
            array = array["x" if "x" in array.files else array.files[0]]
        n_rows = len(array)
    except Exception as error:
        why = "it holds Python objects" if "allow_pickle" in str(error) else error
        raise ConfigError(f"{path} can't be read as an array: {why}") from error
    for start in range(0, max(n_rows, 1), BATCH_ROWS):
        yield array[start : start + BATCH_ROWS]


class _Writer(Protocol):
    def write(self, predictions: "pd.DataFrame") -> None: ...


class _CsvWriter:
    def __init__(self, path: Path) -> None:
        self.file = path.open("w", encoding="utf-8", newline="")
        self.header = True

    def write(self, predictions: "pd.DataFrame") -> None:
        predictions.to_csv(self.file, index=False, header=self.header)
        self.header = False

    def close(self) -> None:
        self.file.close()


class _ParquetWriter:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer: Any = None

    def write(self, predictions: "pd.DataFrame") -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pandas(predictions, preserve_index=False)
        self.writer = self.writer or pq.ParquetWriter(self.path, table.schema)
        self.writer.write_table(table)

    def close(self) -> None:
        if self.writer:
            self.writer.close()


@contextmanager
def _writer(output: Path) -> Iterator[_Writer]:
    try:
        with replacing(output) as temporary:
            writer = _CsvWriter(temporary) if output.suffix == ".csv" else _ParquetWriter(temporary)
            try:
                yield writer
            finally:
                writer.close()
    except OSError as error:
        raise ConfigError(f"{output} can't be written: {error.strerror or error}") from error


if __name__ == "__main__":
    main()
