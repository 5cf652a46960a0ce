"""The report while the search runs: when it is written, and that it can't harm the search."""

import time
from collections.abc import Callable

import pytest

from lightsweep.report.page.content import Running
from lightsweep.sweeper import live_report
from lightsweep.sweeper.live_report import LiveReport, pause_after


@pytest.mark.parametrize(
    ("costs", "pause"),
    [([], 10), ([2.0], 10), ([2.0, 0.1], 10), ([2.0, 0.5], 25), ([2.0, 1.3, 0.6], 30), ([2.0, 0.1, 0.6, 0.8], 30)],
)
def test_writing_takes_at_most_two_percent_of_the_time(costs: list[float], pause: float) -> None:
    assert pause_after(costs) == pytest.approx(pause)


class Written(list[Running | None]):
    """What was written: None is the final version."""

    def __call__(self, running: Running | None) -> None:
        self.append(running)

    def stages(self) -> list[str | None]:
        return [None if running is None else running.stage for running in self]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("in_thread", [False, True])
def test_the_page_follows_the_search_to_the_final_version(in_thread: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_report, "SECONDS_BETWEEN", 0.0)
    written = Written()
    with LiveReport(written, in_thread=in_thread) as report:
        report.update()
        wait_for(lambda: len(written) == 1)
        report.begin_stage("confirming")
        wait_for(lambda: len(written) == 2)
        report.finish()
        report.update()
    assert written.stages() == ["", "confirming", None]


@pytest.mark.parametrize("in_thread", [False, True])
def test_a_short_search_writes_the_final_version_only(in_thread: bool) -> None:
    written = Written()
    with LiveReport(written, in_thread=in_thread) as report:
        report.update()
        report.begin_stage("confirming")
        report.finish()
    assert written == [None]


def test_a_new_stage_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_report, "SECONDS_BETWEEN", 0.0)
    written = Written()
    with LiveReport(written, in_thread=True) as report:
        report.update()
        wait_for(lambda: len(written) == 1)
        report._due = time.monotonic() + 3600
        report.update()
        report.begin_stage("confirming")
        wait_for(lambda: len(written) == 2)


def test_after_an_error_the_page_does_not_say_that_the_search_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_report, "SECONDS_BETWEEN", 0.0)
    written = Written()

    def search() -> None:
        with LiveReport(written, in_thread=False) as report:
            report.update()
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        search()
    assert written.stages() == ["", None]


def test_a_page_that_can_not_be_written_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live_report, "SECONDS_BETWEEN", 0.0)

    def write(running: Running | None) -> None:
        raise OSError("no space left")

    with LiveReport(write, in_thread=False) as report:
        report.update()
        report.update()
    assert capsys.readouterr().err == "warning: the report could not be written: OSError: no space left\n"
