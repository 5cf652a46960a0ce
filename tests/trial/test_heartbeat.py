"""The heartbeat of a driver in its study, and the monitor of those of other drivers."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from lightsweep.storage.storage import open_storage
from lightsweep.trial.heartbeat import STOP, STOP_AT_ONCE, Heartbeat, HeartbeatMonitor, has_other_drivers, key_of
from lightsweep.trial.identity import ProcessIdentity

HERE = ProcessIdentity.here()
ELSEWHERE = replace(HERE, host="elsewhere")


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    return optuna.create_study(storage=open_storage(str(tmp_path / "study.journal")))


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def sign(study: optuna.Study, driver: ProcessIdentity, **record: object) -> None:
    study.set_user_attr(key_of(driver), {**driver.to_record(), "interval": 0.05, **record})


def test_a_driver_beats_until_it_ends_and_says_that_it_ends(study: optuna.Study) -> None:
    def beat() -> int:
        return int(study.user_attrs[key_of(HERE)]["beat"])

    monitor = HeartbeatMonitor(study)
    with Heartbeat(study, interval=0.02).beating():
        first = beat()
        wait_until(lambda: beat() > first + 2)
        assert not monitor.is_silent(HERE)
    assert monitor.is_silent(HERE)
    last = beat()
    time.sleep(0.1)
    assert beat() == last


def test_a_heartbeat_that_misses_four_beats_is_silent_until_it_beats_again(study: optuna.Study) -> None:
    monitor = HeartbeatMonitor(study)
    sign(study, ELSEWHERE, beat=1)
    assert monitor.timeout_s(ELSEWHERE) == pytest.approx(0.2)
    assert not monitor.is_silent(ELSEWHERE)
    wait_until(lambda: monitor.is_silent(ELSEWHERE))
    sign(study, ELSEWHERE, beat=2)
    assert not monitor.is_silent(ELSEWHERE)


@pytest.mark.parametrize("record", [None, "?", {"interval": "?"}])
def test_a_driver_without_a_record_that_can_be_read_has_two_minutes(study: optuna.Study, record: object) -> None:
    study.set_user_attr(key_of(ELSEWHERE), record)
    monitor = HeartbeatMonitor(study)
    assert not monitor.is_silent(ELSEWHERE)
    assert monitor.timeout_s(ELSEWHERE) == 120


def test_a_request_to_stop_reaches_jobs_on_other_hosts_long_before_the_next_beat(study: optuna.Study) -> None:
    heartbeat, monitor = Heartbeat(study, interval=60), HeartbeatMonitor(study)
    with heartbeat.beating():
        assert monitor.stop_request(HERE) is None
        heartbeat.request_stop(at_once=False)
        wait_until(lambda: monitor.stop_request(HERE) == STOP)
        heartbeat.request_stop(at_once=True)
        wait_until(lambda: monitor.stop_request(HERE) == STOP_AT_ONCE)


@pytest.mark.parametrize(
    ("driver", "record", "expected"),
    [
        (ELSEWHERE, {}, True),
        (ELSEWHERE, {"ended": True}, False),
        (replace(HERE, started=1.0), {}, False),
        (HERE, {}, False),
    ],
    ids=["elsewhere", "ended", "killed", "itself"],
)
def test_a_driver_knows_of_others(
    study: optuna.Study, driver: ProcessIdentity, record: dict[str, object], expected: bool
) -> None:
    sign(study, driver, **record)
    assert has_other_drivers(study) is expected
