"""The checkpoint for resuming: the epoch of `last.ckpt`, and the rows of `metrics.csv` at that time."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import Callback

from lightsweep.callbacks.last_checkpoint import LastCheckpoint
from lightsweep.logger.csv import CSVLogger
from tests.callbacks.scripted import Scripted, batches
from tests.command import rows_of

VALUES = (0.1, 0.2, 0.3)


class LogsAtEpochEnd(Scripted):
    def on_train_epoch_end(self) -> None:
        self.log("train/loss", torch.tensor(float(self.trainer.current_epoch)))


class Recorder(Callback):
    """Records, at the first batch of each epoch, the epoch of the checkpoint and the rows of the logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: list[tuple[int, list[dict[str, str]]]] = []

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if (self.folder / "last.ckpt").is_file() and trainer.current_epoch > len(self.records):
            epoch = torch.load(self.folder / "last.ckpt", weights_only=True)["epoch"]
            self.records.append((epoch, rows_in(self.folder)))


def rows_in(folder: Path) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if value} for row in rows_of(folder / "csv" / "metrics.csv")]


@pytest.mark.usefixtures("study_of_search")
@pytest.mark.parametrize("kind", [LogsAtEpochEnd, Scripted])
def test_the_logs_have_all_rows_up_to_the_epoch_of_the_checkpoint(
    kind: type[Scripted], tmp_path: Path, quiet_trainer: dict[str, Any]
) -> None:
    def fit(folder: Path, *callbacks: Callback) -> list[dict[str, str]]:
        logger = CSVLogger(save_dir=str(folder), name="csv", version="")
        trainer = L.Trainer(**quiet_trainer, max_epochs=len(VALUES), logger=logger, callbacks=list(callbacks))
        trainer.fit(kind(VALUES), batches(), batches())
        return rows_in(folder)

    expected = fit(tmp_path / "without")
    quiet_trainer["enable_checkpointing"] = True
    folder = tmp_path / "with"
    recorder = Recorder(folder)
    assert fit(folder, LastCheckpoint(dirpath=str(folder), every_s=0), recorder) == expected
    assert recorder.records == [
        (epoch, [row for row in expected if int(row["epoch"]) <= epoch]) for epoch in range(len(VALUES) - 1)
    ]
    assert torch.load(folder / "last.ckpt", weights_only=True)["epoch"] == len(VALUES) - 1
    assert not (folder / "next.ckpt").exists()
