"""The checkpoint to go on from: what stands in the table beside it when it is written."""

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


class Logging(Scripted):
    """Logs a metric at the end of each epoch, too."""

    def on_train_epoch_end(self) -> None:
        self.log("train/loss", torch.tensor(float(self.trainer.current_epoch)))


def rows(folder: Path) -> list[dict[str, str]]:
    table = rows_of(folder / "csv" / "metrics.csv")
    return [{name: cell for name, cell in row.items() if cell} for row in table]


def trained(model: L.LightningModule, folder: Path, **arguments: Any) -> list[dict[str, str]]:
    logger = CSVLogger(save_dir=str(folder), name="csv", version="")
    trainer = L.Trainer(**{**arguments, "max_epochs": len(VALUES), "logger": logger})
    trainer.fit(model, batches(), batches())
    return rows(folder)


class Looks(Callback):
    """Notes at the first batch of each epoch which epoch the checkpoint is of, and what stands in the table."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[tuple[int, list[dict[str, str]]]] = []

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if (self.folder / "last.ckpt").is_file() and trainer.current_epoch > len(self.seen):
            epoch = torch.load(self.folder / "last.ckpt", weights_only=True)["epoch"]
            self.seen.append((epoch, rows(self.folder)))


@pytest.mark.parametrize("kind", [Logging, Scripted])
def test_the_table_has_all_rows_of_the_epoch_of_the_checkpoint(
    kind: type[Scripted], tmp_path: Path, quiet_trainer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = {**quiet_trainer, "enable_checkpointing": True, "callbacks": []}
    expected = trained(kind(VALUES), tmp_path / "without", **{**writing, "enable_checkpointing": False})
    monkeypatch.setattr("lightsweep.callbacks.last_checkpoint.in_search", lambda: True)
    monkeypatch.setattr("lightsweep.callbacks.last_checkpoint._identity", dict)
    last, looks = LastCheckpoint(dirpath=str(tmp_path / "with"), every_s=0), Looks(tmp_path / "with")
    assert trained(kind(VALUES), tmp_path / "with", **{**writing, "callbacks": [last, looks]}) == expected
    of_epoch = [[row for row in expected if int(row["epoch"]) <= epoch] for epoch in range(len(VALUES) - 1)]
    assert looks.seen == list(enumerate(of_epoch))
    assert torch.load(tmp_path / "with" / "last.ckpt", weights_only=True)["epoch"] == len(VALUES) - 1
    assert not (tmp_path / "with" / "next.ckpt").exists()
