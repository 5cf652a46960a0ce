"""Requests of a driver to stop its jobs."""

import json
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from lightsweep.storage.storage import open_storage
from lightsweep.sweeper.config import DRIVER
from lightsweep.trial.heartbeat import STOP, STOP_AT_ONCE, key_of
from lightsweep.trial.identity import Owner, ProcessIdentity
from lightsweep.trial.stop import StopCheck, clear_stop_request, has_stop_request, request_stop
from lightsweep.unofficial import trial_of

HERE = ProcessIdentity.here()
ELSEWHERE = replace(HERE, host="elsewhere", pid=1)


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


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> optuna.Trial:
    """A trial that this process trains for a driver on another host, which beats every 50 ms."""
    monkeypatch.setattr("lightsweep.trial.stop.SECONDS_BETWEEN_LOOKS", 0.0)
    monkeypatch.setenv(DRIVER, json.dumps(ELSEWHERE.to_record()))
    study = optuna.create_study(storage=open_storage(str(tmp_path / "study.journal")))
    trial = study.ask()
    trial.set_user_attr("owner", Owner(HERE, ELSEWHERE).to_record())
    record_of(ELSEWHERE, study)
    return trial


def record_of(driver: ProcessIdentity, study: optuna.Study, **more: object) -> None:
    study.set_user_attr(key_of(driver), {**driver.to_record(), "interval": 0.05, **more})


def test_a_job_stops_if_its_driver_on_another_host_asks_it_to(trial: optuna.Trial, tmp_path: Path) -> None:
    check = StopCheck(trial, tmp_path / "not shared")
    assert not check.requested()
    record_of(ELSEWHERE, trial.study, stop=STOP)
    assert (check.requested(), check.requested(at_once=True)) == (True, False)
    record_of(ELSEWHERE, trial.study, stop=STOP_AT_ONCE)
    assert (check.requested(), check.requested(at_once=True)) == (True, True)
    check.requeue_if_orphaned()  # its driver does it
    assert trial.study.trials[0].state == TrialState.RUNNING


@pytest.mark.parametrize(("is_taken_over", "state"), [(False, TrialState.WAITING), (True, TrialState.RUNNING)])
def test_a_job_whose_driver_on_another_host_is_gone_requeues_its_trial_unless_another_driver_has_it(
    trial: optuna.Trial, tmp_path: Path, is_taken_over: bool, state: TrialState
) -> None:
    check = StopCheck(trial, tmp_path)
    assert not check.requested()
    time.sleep(0.3)
    assert check.requested()
    if is_taken_over:
        other = replace(HERE, host="another")
        of_other = trial_of(trial.study, trial.number)  # a trial does not see what another one has set
        of_other.set_user_attr("owner", Owner(other, other).to_record())
    check.requeue_if_orphaned()
    assert trial.study.trials[0].state == state
