"""Metrics as a table, one file per training."""

import csv
import time
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger as LightningCSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

SECONDS_BETWEEN_WRITES = 1.0


class CSVLogger(LightningCSVLogger):
    """Keeps the rows of the epochs before the one that a resumed training goes on with, and writes about once a second.

    Lightning's own deletes the former file, with a warning, and writes twice per epoch. Of an epoch all rows are
    written or none, so that the last one of a long training does not wait for the next.
    """

    def __init__(self, *, save_dir: str, name: str, version: str) -> None:
        super().__init__(save_dir=save_dir, name=name, version=version)
        self._path = Path(self.log_dir) / ExperimentWriter.NAME_METRICS_FILE
        folder = self._path.parent
        self._former_path = folder.with_name(f"{folder.name}.former.csv")  # until the first rows are written
        self._former_rows: list[dict[str, Any]] | None = None
        self._epoch: int | None = None  # of the last row
        self._written_epoch: int | None = None
        self._ahead: Any = None  # step and names of what was written before it was logged
        self._next_write_s = time.monotonic() + SECONDS_BETWEEN_WRITES

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        if self._experiment is None:
            if self._path.is_file():
                self._path.replace(self._former_path)
            self._former_rows = _rows(self._former_path)
        experiment: ExperimentWriter = super().experiment
        return experiment

    # Lightning's two base classes differ in the type of the metrics.
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead == (step, metrics.keys()):
            return
        experiment = self.experiment
        if self._former_rows:
            experiment.metrics = [row for row in self._former_rows if int(row["epoch"]) < metrics.get("epoch", 0)]
            self._former_rows = None
        self._epoch = metrics.get("epoch")
        super().log_metrics(metrics, step)

    def save(self) -> None:
        if time.monotonic() >= self._next_write_s or (self._epoch is not None and self._epoch == self._written_epoch):
            self.flush(epoch=self._epoch)

    def flush(self, *, epoch: int | None = None) -> None:
        """Write now what was logged, and what comes of this epoch as soon as it does."""
        super().save()
        if self._path.is_file():
            self._former_path.unlink(missing_ok=True)
        self._written_epoch = epoch
        self._next_write_s = time.monotonic() + SECONDS_BETWEEN_WRITES

    def flush_with(self, metrics: dict[str, Any], *, step: int) -> None:
        """Write now what was logged, and these last metrics of its epoch, which are about to be logged."""
        self.log_metrics(metrics, step)
        self.flush(epoch=self._epoch)
        self._ahead = step, metrics.keys()

    def finalize(self, status: str) -> None:
        if self._experiment is None:
            return
        self.flush()
        if self._former_path.is_file():  # nothing was logged
            self._former_path.replace(self._path)


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a table, each without its empty cells; none if there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{name: cell for name, cell in row.items() if name and cell} for row in csv.DictReader(file)]
    return [row for row in rows if row.get("epoch", "").isdigit()]
