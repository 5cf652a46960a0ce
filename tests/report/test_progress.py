"""What a running search shows: a region that is kept up to date on a terminal, plain lines elsewhere."""

import io
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from datetime import datetime, timedelta

import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightsweep.report.progress import Progress, running_line
from lightsweep.report.statistics import StudyStatistics

CONTROL = re.compile(r"\x1b\[[\d;?]*[A-Za-z]|\r")
SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def shows(self, text: str) -> bool:
        """True if all words of the text have been written, wherever the lines were broken."""
        return text in " ".join(CONTROL.sub("\n", self.getvalue()).split())


def trial_of(number: int, value: float | None, *, reports: dict[int, float] | None = None) -> FrozenTrial:
    trial = create_trial(
        state=TrialState.RUNNING if value is None else TrialState.COMPLETE,
        value=value,
        params={"optimizer.lr": 0.5},
        distributions={"optimizer.lr": FloatDistribution(0, 1)},
        intermediate_values=reports,
    )
    trial.number = number
    trial.datetime_start = datetime.now() - timedelta(seconds=75)
    return trial


def progress_of(total: int = 4) -> Progress:
    statistics = StudyStatistics(directions=[StudyDirection.MAXIMIZE])
    return Progress(total=total, done=0, monitor="val/acc", statistics=statistics)


def finish(progress: Progress, trial: FrozenTrial) -> None:
    progress.statistics.add(trial)
    progress.update(trial)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 80 columns, for `redirect_stderr` in the test: pytest sets `sys.stderr` again before each."""
    for variable in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return Terminal()


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_everything_fits_any_width(columns: int, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    progress = progress_of()
    running = [trial_of(1, None), trial_of(12, None, reports={0: 0.8, 2: 0.9})]
    with redirect_stderr(terminal), progress.live(lambda: running):
        wait_until(lambda: terminal.shows("· 3 epochs · val/acc 0.9000"))
        finish(progress, trial_of(0, 0.75))
        wait_until(lambda: terminal.shows("best val/acc 0.7500 (trial 0) · 0 pruned · 0 failed · 0:00:0"))
        wait_until(lambda: terminal.shows("elapsed · 0:00:0"))
    assert terminal.shows("1/4 trials")
    assert all(map(terminal.shows, ["trial 1 · 0:01:", "· first epoch", "trial 12 · 0:01:"]))
    region = CONTROL.sub("\n", terminal.getvalue().replace("trial   0 val/acc 0.7500  lr=0.5\n", ""))
    assert max(map(len, region.splitlines())) <= columns


def test_the_first_trial_moves_before_it_is_finished(terminal: Terminal) -> None:
    trial = trial_of(0, None)
    with redirect_stderr(terminal), progress_of().live(lambda: [trial]):
        for epoch in range(3):
            trial.intermediate_values = {epoch: epoch / 10}
            wait_until(lambda: terminal.shows(f"epoch{'s' if epoch else ''} · val/acc {epoch / 10:.4f}"))  # noqa: B023


def test_the_region_leaves_the_lines_and_a_cursor(terminal: Terminal) -> None:
    progress = progress_of()
    with redirect_stderr(terminal), progress.live(lambda: [trial_of(1, None)]):
        print("a warning", file=sys.stderr)
        finish(progress, trial_of(0, 0.75))
        wait_until(lambda: terminal.shows("1/4 trials"))
        assert terminal.getvalue().rindex(SHOW_CURSOR) > terminal.getvalue().rindex(HIDE_CURSOR)  # it may be killed now
    assert re.search(rf"{re.escape(SHOW_CURSOR)}(\r|\x1b\[1A|\x1b\[2K)+$", terminal.getvalue())  # the region is erased
    written = CONTROL.sub("", terminal.getvalue())
    assert written.index("a warning\n") < written.index("trial   0 val/acc 0.7500  lr=0.5\n")
    with redirect_stderr(terminal):
        finish(progress, trial_of(1, 0.8))
    assert CONTROL.sub("", terminal.getvalue()).splitlines()[-1].startswith("[2/4] trial   1 val/acc 0.8000  lr=0.5 · ")


def test_an_exception_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    def interrupted() -> None:
        with progress_of().live(list):
            wait_until(lambda: terminal.shows("0/4 trials"))
            raise KeyboardInterrupt

    with redirect_stderr(terminal):
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert sys.stderr is terminal
    assert terminal.getvalue().rindex(SHOW_CURSOR) > terminal.getvalue().rindex(HIDE_CURSOR)


def test_a_storage_that_can_not_be_read_does_not_end_the_display(terminal: Terminal) -> None:
    fails = iter([True, True])

    def running() -> list[FrozenTrial]:
        if next(fails, False):
            raise OSError("locked")
        return [trial_of(3, None)]

    with redirect_stderr(terminal), progress_of().live(running):
        wait_until(lambda: terminal.shows("trial 3"))
    assert not terminal.shows("locked")


def test_of_many_running_trials_the_first_are_shown(terminal: Terminal) -> None:
    with redirect_stderr(terminal), progress_of().live(lambda: [trial_of(i, None) for i in range(64)]):
        wait_until(lambda: terminal.shows("and 59 more"))
    assert terminal.shows("trial 4")
    assert not terminal.shows("trial 5")


@pytest.mark.parametrize("variables", [{}, {"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}])
def test_a_log_file_gets_one_plain_line_per_trial(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    shows_plain_lines(io.StringIO())


def test_a_terminal_without_control_characters_gets_plain_lines(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    shows_plain_lines(terminal)


def shows_plain_lines(log: io.StringIO) -> None:
    progress, n_threads = progress_of(2), threading.active_count()
    with redirect_stderr(log), progress.live(pytest.fail):
        assert threading.active_count() == n_threads
        finish(progress, trial_of(0, 0.75))
        finish(progress, trial_of(1, 0.5))
    assert log.getvalue() == (
        "[1/2] trial   0 val/acc 0.7500  lr=0.5 · best val/acc 0.7500 (trial 0) · 0 pruned · 0 failed · 0:00:00 left\n"
        "[2/2] trial   1 val/acc 0.5000  lr=0.5 · best val/acc 0.7500 (trial 0) · 0 pruned · 0 failed · 0:00:00 left\n"
    )


@pytest.mark.parametrize(
    ("reports", "line"),
    [
        ({}, "trial   7 · 0:01:15 · first epoch"),
        ({0: 0.5}, "trial   7 · 0:01:15 · 1 epoch · val/acc 0.5000"),
        ({1: 0.5, 3: 0.25}, "trial   7 · 0:01:15 · 4 epochs · val/acc 0.2500"),
    ],
)
def test_a_running_trial_is_shown_with_its_latest_report(reports: dict[int, float], line: str) -> None:
    assert running_line(trial_of(7, None, reports=reports), monitor="val/acc") == line
