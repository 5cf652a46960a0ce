"""Requests of a driver to stop its jobs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lightsweep.sweeper.config import DRIVER
from lightsweep.trial.identity import ProcessIdentity
from lightsweep.trial.stop import clear_stop_request, has_stop_request, request_stop

HERE = ProcessIdentity.here()


@pytest.mark.parametrize("at_once", [False, True])
def test_a_request_reaches_the_jobs_of_its_driver_alone_until_it_is_cleared(
    at_once: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for driver in (HERE, replace(HERE, pid=HERE.pid + 1)):
        monkeypatch.setenv(DRIVER, json.dumps(driver.to_record()))
        assert not has_stop_request(tmp_path)
        request_stop(tmp_path, at_once=at_once)
        assert (has_stop_request(tmp_path), has_stop_request(tmp_path, at_once=True)) == (True, at_once)
    clear_stop_request(tmp_path)
    assert not has_stop_request(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1 + at_once


def test_a_request_that_cannot_be_written_is_not_an_error(tmp_path: Path) -> None:
    request_stop(tmp_path / "no such folder", at_once=True)
