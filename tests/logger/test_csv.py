"""The CSV log of a training that resumes."""

from pathlib import Path

import pytest

from lightsweep.logger.csv import CSVLogger
from tests.command import rows_of


def logged(folder: Path, epochs: range) -> list[dict[str, str]]:
    logger = CSVLogger(save_dir=str(folder), name="csv", version="")
    for epoch in epochs:
        logger.log_metrics({"epoch": epoch, "val/acc": epoch / 10}, step=epoch * 5 + 4)
    logger.finalize("success")
    return rows_of(folder / "csv" / "metrics.csv")


@pytest.mark.parametrize(
    ("before", "after", "epochs"),
    [
        (range(3), range(3, 6), [0, 1, 2, 3, 4, 5]),
        (range(4), range(2, 5), [0, 1, 2, 3, 4]),  # killed two epochs after its last checkpoint
        (range(4), range(2), [0, 1]),  # starts over
        (range(0), range(2), [0, 1]),
    ],
)
def test_each_epoch_has_one_row(before: range, after: range, epochs: list[int], tmp_path: Path) -> None:
    if before:
        logged(tmp_path, before)
    rows = logged(tmp_path, after)
    assert [int(row["epoch"]) for row in rows] == epochs
    assert [float(row["val/acc"]) for row in rows] == [epoch / 10 for epoch in epochs]


@pytest.mark.parametrize("torn", ["", "epoch,step\n0", "nonsense\n\x00\n"])
def test_a_damaged_log_is_no_error(torn: str, tmp_path: Path) -> None:
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "metrics.csv").write_text(torn)
    assert [int(row["epoch"]) for row in logged(tmp_path, range(1, 3))][-2:] == [1, 2]


def test_the_former_rows_survive_a_kill_before_the_first_write(tmp_path: Path) -> None:
    logged(tmp_path, range(3))
    killed = CSVLogger(save_dir=str(tmp_path), name="csv", version="")
    killed.log_metrics({"epoch": 2, "val/acc": 0.9}, step=14)
    rows = logged(tmp_path, range(2, 4))
    assert [(int(row["epoch"]), float(row["val/acc"])) for row in rows] == [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3)]
    assert {path.name for path in tmp_path.rglob("*")} == {"csv", "metrics.csv"}


def test_the_former_rows_survive_a_training_that_logs_nothing(tmp_path: Path) -> None:
    logged(tmp_path, range(3))
    logger = CSVLogger(save_dir=str(tmp_path), name="csv", version="")
    logger.log_hyperparams({})
    logger.finalize("failed")
    assert len(rows_of(tmp_path / "csv" / "metrics.csv")) == 3
    assert {path.name for path in tmp_path.rglob("*")} == {"csv", "metrics.csv", "hparams.yaml"}
