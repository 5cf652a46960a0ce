"""Prepared data is written once, also if a process is killed while it writes."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from lightsweep.data.table.cache import cached_folder
from lightsweep.errors import ConfigError
from tests.data.table.tables import table, write_numbered

FORK = multiprocessing.get_context("fork")


def make_slowly(folder: Path) -> None:
    (folder / f"made by {os.getpid()}").touch()
    time.sleep(0.3)


def call(cache: Path) -> None:
    cached_folder(cache, name="data", key={}, make=make_slowly)


def test_of_two_processes_only_one_prepares(tmp_path: Path) -> None:
    processes = [FORK.Process(target=call, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    [folder] = tmp_path.glob("data-*")
    assert len(list(folder.iterdir())) == 1


def test_a_process_killed_during_preparation_does_not_block_the_next(tmp_path: Path) -> None:
    process = FORK.Process(target=call, args=(tmp_path,))
    process.start()
    while not list(tmp_path.glob(".data-*.tmp/made*")):
        time.sleep(0.01)
    process.kill()
    process.join()
    assert not list(tmp_path.glob("data-*"))
    call(tmp_path)
    [made] = tmp_path.glob("data-*/made*")
    assert made.name == f"made by {os.getpid()}"


def test_a_cache_that_can_not_be_created_is_a_config_error(tmp_path: Path) -> None:
    write_numbered(tmp_path)
    (tmp_path / "cache").touch()
    with pytest.raises(ConfigError, match=r"data\.cache is '.*cache', which can't be created: File exists"):
        _ = table(tmp_path).splits
