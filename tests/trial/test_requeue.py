"""Running trials of other processes: which are stale, the message to the user, and how often a trial is run again."""

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from lightsweep.storage.storage import open_storage
from lightsweep.trial.heartbeat import HeartbeatMonitor
from lightsweep.trial.identity import ProcessIdentity
from lightsweep.trial.requeue import is_stale, recover_stale_trials, waiting_message

HERE = ProcessIdentity.here().to_record()
GONE = {**HERE, "started": 1.0}
REMOTE = {**HERE, "host": "elsewhere", "pid": 1}


def running(owner: dict[str, Any] | None, *, age_s: float = 0) -> FrozenTrial:
    trial = optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs={"owner": owner})
    trial.number = 0
    trial.datetime_start = datetime.now() - timedelta(seconds=age_s)
    return trial


@pytest.mark.parametrize(
    ("owner", "age_s", "expected"),
    [(HERE, 999, False), (GONE, 0, True), (REMOTE, 999, False), (None, 0, False), (None, 50, False), (None, 70, True)],
)
def test_a_trial_is_stale_if_its_process_is_gone_or_unknown_for_a_minute(
    owner: dict[str, Any] | None, age_s: float, expected: bool
) -> None:
    assert is_stale(running(owner, age_s=age_s), HeartbeatMonitor(Path("no such folder"))) is expected


@pytest.mark.parametrize(
    ("owner", "has_heartbeat", "message"),
    [
        (None, False, "another process has just started"),
        (HERE, False, "process {pid} runs"),
        (REMOTE, True, "process 1 on elsewhere runs; it is taken over after 120 s without a heartbeat"),
        (
            REMOTE,
            False,
            "process 1 on elsewhere runs; its heartbeat file is missing. If that process is gone, run: touch"
            " {folder}/.alive.0; 120 s later the trial is taken over",
        ),
    ],
)
def test_the_user_is_told_which_process_runs_a_trial_and_when_it_is_taken_over(
    owner: dict[str, Any] | None, has_heartbeat: bool, message: str, tmp_path: Path
) -> None:
    if has_heartbeat:
        (tmp_path / ".alive.0").touch()
    shown = waiting_message(running(owner), HeartbeatMonitor(tmp_path))
    assert shown == f"waiting for trial 0, which {message.format(folder=tmp_path, pid=os.getpid())}"


def test_a_stale_trial_is_requeued_until_it_has_used_its_retries(tmp_path: Path) -> None:
    study = optuna.create_study(storage=open_storage(str(tmp_path / "study.journal")))
    study.ask()
    assert recover_stale_trials(study, study.trials, max_retries=1) == []
    assert study.trials[0].state == TrialState.WAITING
    study.ask()
    [trial] = recover_stale_trials(study, study.trials, max_retries=1)
    assert (trial.number, trial.state) == (0, TrialState.FAIL)
    assert trial.user_attrs["fail_kind"] == "worker lost"
    assert trial.user_attrs["fail_reason"] == "its process died 2 times"
