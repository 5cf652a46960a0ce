"""Running trials of other processes: which are stale, the message to the user, and how often a trial is run again."""

import os
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from lightsweep.storage.storage import open_storage
from lightsweep.trial.heartbeat import HeartbeatMonitor, key_of
from lightsweep.trial.identity import Owner, ProcessIdentity
from lightsweep.trial.requeue import is_stale, is_taken_over, recover_stale_trials, waiting_message
from lightsweep.unofficial import trial_of

HERE = ProcessIdentity.here()
GONE = replace(HERE, started=1.0)
REMOTE = replace(HERE, host="elsewhere", pid=1)
SILENT = replace(REMOTE, pid=2)


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    return optuna.create_study(storage=open_storage(str(tmp_path / "study.journal")))


def running(process: ProcessIdentity | None, driver: ProcessIdentity | None = None, *, age_s: float = 0) -> FrozenTrial:
    owner = process and Owner(process, driver or process).to_record()
    trial = optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs={"owner": owner})
    trial.number = 0
    trial.datetime_start = datetime.now() - timedelta(seconds=age_s)
    return trial


@pytest.mark.parametrize(
    ("process", "driver", "age_s", "expected"),
    [
        (HERE, HERE, 999, False),
        (GONE, GONE, 0, True),
        (GONE, HERE, 0, False),  # the driver sees it and runs the trial again
        (HERE, GONE, 0, False),  # the process sees it and requeues its trial
        (REMOTE, REMOTE, 999, False),
        (SILENT, SILENT, 0, True),
        (REMOTE, SILENT, 0, True),
        (GONE, REMOTE, 0, False),
        (HERE, SILENT, 0, False),
        (None, None, 0, False),
        (None, None, 50, False),
        (None, None, 70, True),
    ],
)
def test_a_trial_is_stale_if_neither_its_process_nor_its_driver_is_there(
    process: ProcessIdentity | None, driver: ProcessIdentity | None, age_s: float, expected: bool, study: optuna.Study
) -> None:
    study.set_user_attr(key_of(SILENT), {**SILENT.to_record(), "ended": True})
    assert is_stale(running(process, driver, age_s=age_s), HeartbeatMonitor(study)) is expected


def test_a_trial_of_an_earlier_version_names_its_process_alone(study: optuna.Study) -> None:
    for record, expected in ((HERE.to_record(), False), (GONE.to_record(), True), (REMOTE.to_record(), False)):
        trial = running(HERE)
        trial.set_user_attr("owner", record)
        assert is_stale(trial, HeartbeatMonitor(study)) is expected


@pytest.mark.parametrize(
    ("process", "driver", "message"),
    [
        (None, None, "another process has just started"),
        (HERE, HERE, "process {pid} runs"),
        (HERE, REMOTE, "process 1 on elsewhere runs; it is taken over once that process sends no heartbeat for 120 s"),
    ],
)
def test_the_user_is_told_which_process_runs_a_trial_and_when_it_is_taken_over(
    process: ProcessIdentity | None, driver: ProcessIdentity | None, message: str, study: optuna.Study
) -> None:
    shown = waiting_message(running(process, driver), HeartbeatMonitor(study))
    assert shown == f"waiting for trial 0, which {message.format(pid=os.getpid())}"


def test_of_two_drivers_that_find_a_stale_trial_one_takes_it_over(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.ask().set_user_attr("owner", Owner(GONE, GONE).to_record())
    stale = study.trials
    trial = trial_of(study, 0)

    def another_driver_signs_it(_: float) -> None:
        trial.set_user_attr("owner", Owner(REMOTE, REMOTE).to_record())

    monkeypatch.setattr(time, "sleep", another_driver_signs_it)
    assert recover_stale_trials(study, stale, HeartbeatMonitor(study), max_retries=1) == []
    assert study.trials[0].state == TrialState.RUNNING
    assert is_taken_over(trial)


def test_a_trial_that_ended_after_all_is_left_alone(study: optuna.Study) -> None:
    study.ask().set_user_attr("owner", Owner(GONE, GONE).to_record())
    stale = study.trials
    study.tell(0, 1.0)
    assert recover_stale_trials(study, stale, HeartbeatMonitor(study), max_retries=1) == []
    assert study.trials[0].state == TrialState.COMPLETE


def test_a_stale_trial_is_requeued_until_it_has_used_its_retries(study: optuna.Study) -> None:
    study.ask()
    assert recover_stale_trials(study, study.trials, HeartbeatMonitor(study), max_retries=1) == []
    assert study.trials[0].state == TrialState.WAITING
    study.ask()
    [trial] = recover_stale_trials(study, study.trials, HeartbeatMonitor(study), max_retries=1)
    assert (trial.number, trial.state) == (0, TrialState.FAIL)
    assert trial.user_attrs["fail_kind"] == "worker lost"
    assert trial.user_attrs["fail_reason"] == "its process died 2 times"
