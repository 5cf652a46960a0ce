"""`data=openml`: a data set of openml.org, downloaded once by scikit-learn."""

import re
from collections.abc import Mapping
from typing import Any

from lightsweep.data.table.module import FrameDataModule
from lightsweep.data.table.source import Table
from lightsweep.errors import ConfigError
from lightsweep.files import locked


class OpenMLDataModule(FrameDataModule):
    """A data set by `name` and `version`, or by its number `id`; without `target` its default target is used."""

    def __init__(
        self, *, name: str | None, version: int | str, id: int | None, data_home: str | None, **table: Any
    ) -> None:
        super().__init__(**table)
        if (name is None) == (id is None):
            raise ConfigError(f"data.name is {name} and data.id is {id}; give one of them, e.g. data.name=mnist_784.")
        self.query = {"data_id": id} if id is not None else {"name": name, "version": version}
        self.data_home = str(self.relative_to / data_home) if data_home else None

    @property
    def short_name(self) -> str:
        return re.sub(r"[^\w.-]", "_", f"openml-{self.query.get('name') or self.query['data_id']}")

    def identity(self) -> Mapping[str, Any]:
        return {**self.query, "data_home": self.data_home}

    def tables(self) -> dict[str, Table]:
        query = " ".join(f"{key}={value}" for key, value in self.query.items())
        # Trials with other settings, such as a searched data.scale, prepare it at the same time.
        with locked(self.cache / f".{self.short_name}.download.lock", waiting=f"another process downloads {query}"):
            found = self._fetched(query)
        targets = [*map(str, found.target_names)]
        return {"train": Table(query, found.frame, lambda row: f"{query}, row {row} (counted from 0)", targets)}

    def _fetched(self, query: str) -> Any:
        from sklearn.datasets import fetch_openml

        try:
            return fetch_openml(**self.query, data_home=self.data_home, as_frame=True, parser="auto")
        except ValueError as error:
            raise ConfigError(f"OpenML's data set {query} can't be loaded: {error}") from error
        except OSError as error:
            raise ConfigError(f"openml.org can't be reached for the data set {query}: {error}") from error
