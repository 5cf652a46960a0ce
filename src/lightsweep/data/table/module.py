"""`data=table`: your own table, in a file or three."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lightsweep.data.table.frames import FrameDataModule, identity_of
from lightsweep.data.table.labels import Table
from lightsweep.data.table.reading import check_file, has_unnamed, place, read_frame
from lightsweep.data.table.values import is_text_type
from lightsweep.errors import ConfigError
from lightsweep.files import shown


class TableDataModule(FrameDataModule):
    """A CSV, TSV, Parquet or Feather file, which is cut into splits as far as they are not files of their own."""

    def __init__(self, *, path: str, val_path: str | None, test_path: str | None, **table: Any) -> None:
        super().__init__(**table)
        given = {"train": path, "val": val_path, "test": test_path}
        self.paths = {name: self.relative_to / one for name, one in given.items() if one}

    @property
    def short_name(self) -> str:
        return self.paths["train"].name.split(".")[0]

    def identity(self) -> Mapping[str, Any]:
        for name, path in self.paths.items():
            try:
                check_file(path)
            except ConfigError as error:
                key = "data.path" if name == "train" else f"data.{name}_path"
                raise ConfigError(f"{key}: {error}") from None
        return {name: identity_of(path) for name, path in self.paths.items()}

    def tables(self) -> dict[str, Table]:
        # What is said to be no number stays as it is written, and what is none in the first file: 01234 is no 1234.
        as_text: set[Hashable] = {name for name, kind in (self.settings.kinds or {}).items() if kind != "number"}
        tables = {}
        for name, path in self.paths.items():
            settings = self.settings
            frame = read_frame(path, text=as_text, missing=settings.missing, decimal=settings.decimal)
            as_text |= {column for column, kind in frame.dtypes.items() if is_text_type(kind.pyarrow_dtype)}
            tables[name] = _table(frame, path)
        return tables


def _table(frame: pd.DataFrame, path: Path) -> Table:
    left_out = {"a column without a name": "taken for the index of a saved frame"} if has_unnamed(path) else {}
    return Table(name=shown(path), frame=frame, where=lambda row: place(path, row), left_out=left_out)
