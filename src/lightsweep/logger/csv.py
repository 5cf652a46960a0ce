"""Logs metrics to a CSV file, one per training."""

import csv
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger as LightningCSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.utilities import rank_zero_only

METRICS_FILE = "metrics.csv"


class CSVLogger(LightningCSVLogger):
    """Lightning's CSV logger that, when a training resumes, keeps the rows of the epochs before.

    Lightning's own deletes the former file. Here it is moved to `<folder>.former.csv` until its rows are written again.
    """

    def __init__(self, *, save_dir: str, name: str, version: str) -> None:
        super().__init__(save_dir=save_dir, name=name, version=version)
        folder = Path(self.log_dir)
        self._path = folder / METRICS_FILE
        self._former_path = folder.with_name(f"{folder.name}.former.csv")
        self._former_rows: list[dict[str, Any]] | None = None  # not read yet
        self._has_logged = False

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        if self._former_rows is None:
            # A kill between two writes leaves both files; the longer one has all rows.
            if self._path.is_file() and len(rows_of(self._path)) >= len(rows_of(self._former_path)):
                self._path.replace(self._former_path)
            self._path.unlink(missing_ok=True)
            self._former_rows = rows_of(self._former_path)
        writer: ExperimentWriter = super().experiment
        return writer

    # Lightning's two base classes differ in the type of the metrics.
    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        if not self._has_logged:
            self._has_logged = True
            self.experiment  # noqa: B018  (reads the former rows)
            for row in self._former_rows or []:
                if int(row["epoch"]) < metrics.get("epoch", 0):
                    super().log_metrics(row, int(row["step"]))
        super().log_metrics(metrics, step)

    def save(self) -> None:
        super().save()
        if self._has_logged:
            self._former_path.unlink(missing_ok=True)

    def finalize(self, status: str) -> None:
        super().finalize(status)
        if self._former_rows is not None and self._former_path.is_file():  # nothing new was logged
            self._former_path.replace(self._path)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the complete rows without their empty values; an empty list if there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = [{name: value for name, value in row.items() if name and value} for row in csv.DictReader(file)]
    return [row for row in rows if row.get("epoch", "").isdigit() and row.get("step", "").isdigit()]
