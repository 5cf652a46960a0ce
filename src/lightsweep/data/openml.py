"""`data=openml`: a data set of openml.org, downloaded once by scikit-learn."""

import re
from collections.abc import Mapping
from typing import Any

from lightsweep.data.table.frames import FrameDataModule
from lightsweep.data.table.labels import Table
from lightsweep.errors import ConfigError


class OpenMLDataModule(FrameDataModule):
    """A data set by `name` and `version`, or by its number `id`; `target` is null for the one that it names itself."""

    def __init__(
        self, *, name: str | None, version: int | str, id: int | None, data_home: str | None, **table: Any
    ) -> None:
        super().__init__(**table)
        if (name is None) == (id is None):
            raise ConfigError(
                f"data.name is {name} and data.id is {id}; give one of them, such as data.name=mnist_784."
            )
        self.asked = {"data_id": id} if id is not None else {"name": name, "version": version}
        self.data_home = str(self.relative_to / data_home) if data_home else None

    @property
    def short_name(self) -> str:
        return re.sub(r"[^\w.-]", "_", f"openml-{self.asked.get('name') or self.asked['data_id']}")

    def identity(self) -> Mapping[str, Any]:
        return {**self.asked, "data_home": self.data_home}

    def tables(self) -> dict[str, Table]:
        from sklearn.datasets import fetch_openml

        asked = " ".join(f"{key}={value}" for key, value in self.asked.items())
        try:
            found = fetch_openml(**self.asked, data_home=self.data_home, as_frame=True, parser="auto")
        except ValueError as error:
            raise ConfigError(f"OpenML's data set {asked} can't be had: {error}") from error
        except OSError as error:
            raise ConfigError(f"openml.org can't be reached for the data set {asked}: {error}") from error
        targets = [*map(str, found.target_names)]
        return {"train": Table(asked, found.frame, lambda row: f"{asked}, row {row} (counted from 0)", targets)}
