"""The heartbeat file of a running trial, and the monitor of those of other drivers."""

import contextlib
import os
import time
from pathlib import Path

import pytest

from lightsweep.trial import heartbeat as module
from lightsweep.trial.heartbeat import HeartbeatMonitor, heartbeat


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_INTERVAL_S", 0.01)
    monkeypatch.setattr(module, "HEARTBEAT_TIMEOUT_S", 0.2)


def wait_for_beat(path: Path) -> None:
    before, deadline = path.stat().st_mtime_ns, time.monotonic() + 30
    while path.stat().st_mtime_ns == before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_each_running_trial_has_a_heartbeat_file_until_it_ends(tmp_path: Path) -> None:
    with heartbeat(tmp_path, 3):
        wait_for_beat(tmp_path / ".alive.3")
        with heartbeat(tmp_path, 4):
            wait_for_beat(tmp_path / ".alive.4")
        assert list(tmp_path.iterdir()) == [tmp_path / ".alive.3"]
        wait_for_beat(tmp_path / ".alive.3")
    assert list(tmp_path.iterdir()) == []


def test_a_forked_process_has_its_own_heartbeat(tmp_path: Path) -> None:
    with heartbeat(tmp_path, 0):
        child = os.fork()
        if child == 0:
            with contextlib.suppress(AssertionError), heartbeat(tmp_path, 1):
                wait_for_beat(tmp_path / ".alive.1")
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_heartbeat_that_does_not_change_for_the_timeout_is_silent(tmp_path: Path) -> None:
    monitor, path = HeartbeatMonitor(tmp_path), tmp_path / ".alive.0"
    assert not monitor.is_silent(0)
    assert not monitor.has_heartbeat(0)
    path.touch()
    os.utime(path, (0, 0))  # the clock of its host may differ
    assert not monitor.is_silent(0)
    time.sleep(0.3)
    assert monitor.is_silent(0)
    path.touch()
    assert not monitor.is_silent(0)
