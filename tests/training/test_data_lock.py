"""`prepare_data` of any data module: never in two trials of a search on one host at the same time."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as L
import torch
from pytorch_lightning.demos.boring_classes import BoringModel, RandomDataset
from torch.utils.data import DataLoader

from lightsweep.training import data_lock
from lightsweep.training.data_lock import prepare_data_one_at_a_time

N_TRIALS = 4


class Downloads(L.LightningDataModule):
    """Fails if two processes are in `prepare_data` at once, as many downloads do."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def prepare_data(self) -> None:
        (self.folder / "partial").mkdir()
        time.sleep(0.1)
        (self.folder / "partial").rmdir()
        with (self.folder / "calls").open("a") as calls:
            calls.write(".")

    def train_dataloader(self) -> Any:
        return DataLoader(RandomDataset(32, 2))

    val_dataloader = train_dataloader


class FromBase(Downloads):
    def prepare_data(self) -> None:
        super().prepare_data()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(data_lock, "folder_of_search", lambda: tmp_path)
    return tmp_path


def all_at_once(datas: list[L.LightningDataModule]) -> None:
    barrier = threading.Barrier(len(datas))

    def prepare(data: L.LightningDataModule) -> None:
        barrier.wait()
        data.prepare_data()

    with ThreadPoolExecutor(len(datas)) as threads:
        list(threads.map(prepare, datas))


@pytest.mark.parametrize("kind", [Downloads, FromBase])
def test_trials_prepare_their_data_one_after_the_other(kind: type[Downloads], folder: Path) -> None:
    with pytest.raises(FileExistsError):  # what it is for
        all_at_once([kind(folder) for _ in range(N_TRIALS)])
    (folder / "calls").unlink()
    datas: list[L.LightningDataModule] = [kind(folder) for _ in range(N_TRIALS)]
    for data in datas:
        prepare_data_one_at_a_time(data)
    all_at_once(datas)
    assert (folder / "calls").read_text() == "." * N_TRIALS


def test_an_error_of_one_trial_does_not_keep_the_others_waiting(folder: Path) -> None:
    (folder / "partial").mkdir()
    first, second = Downloads(folder), Downloads(folder)
    for data in (first, second):
        prepare_data_one_at_a_time(data)
    with pytest.raises(FileExistsError):
        first.prepare_data()
    (folder / "partial").rmdir()
    second.prepare_data()


def test_lightning_calls_it_once_in_a_fit(folder: Path, quiet_trainer: dict[str, Any]) -> None:
    data = Downloads(folder)
    prepare_data_one_at_a_time(data)
    L.Trainer(**quiet_trainer, logger=False, max_epochs=1).fit(BoringModel(), datamodule=data)
    assert (folder / "calls").read_text() == "."


class Nothing(L.LightningDataModule):
    pass


@pytest.mark.parametrize("data", [Nothing(), object(), torch.nn.Identity()])
def test_data_that_prepare_nothing_get_no_lock(data: Any, folder: Path) -> None:
    prepare_data_one_at_a_time(data)
    assert "prepare_data" not in getattr(data, "__dict__", {})
    assert list(folder.iterdir()) == []


def test_a_training_outside_a_search_gets_no_lock(tmp_path: Path) -> None:
    data = Downloads(tmp_path)
    prepare_data_one_at_a_time(data)
    data.prepare_data()
    assert [path.name for path in tmp_path.iterdir()] == ["calls"]
