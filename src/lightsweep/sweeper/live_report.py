"""The report while the search runs: written again after trials, so rarely that it costs at most 2 % of the time."""

import gc
import math
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import optuna

from lightsweep.report.page.content import Running
from lightsweep.report.page.report import REPORT, write_report
from lightsweep.search.study import n_trials_of

SECONDS_BETWEEN = 10.0
MAX_SHARE = 0.02  # of the time
POLL_INTERVAL_S = 0.1


class LiveReport:
    """A context in which the page follows the search. `write` writes it, the final version with None.

    With `in_thread` a thread writes, so that trials in other processes never wait for it. A search whose trials run in
    this process has them wait instead: drawing sets the filters of warnings, which belong to the whole process.
    """

    def __init__(self, write: Callable[[Running | None], None], *, in_thread: bool) -> None:
        self._write = write
        self._in_thread = in_thread
        self._stage = ""
        self._due = time.monotonic() + SECONDS_BETWEEN
        self._costs: list[float] = []
        self._is_new = threading.Event()
        self._is_over = threading.Event()
        self._has_ended = threading.Event()
        self._failed = False
        self._is_final = False

    def __enter__(self) -> "LiveReport":
        if self._in_thread:
            threading.Thread(target=self._follow, daemon=True).start()
        else:
            self._has_ended.set()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop. After an error no one writes the final version, so the page would say for ever that the search runs."""
        self._stop()
        if error is not None and self._costs and not self._is_final:
            self._try_to_write(None)

    def finish(self) -> None:
        """Write the final version. Raises what prevents it."""
        self._stop()
        self._is_final = True
        self._write(None)

    def _stop(self) -> None:
        """Write no more. Wait for a version that is being written, which must not replace the final one."""
        self._is_over.set()
        self._is_new.set()
        while not self._has_ended.is_set():  # not `Thread.join`, which an interrupt leaves inconsistent in Python 3.11
            time.sleep(POLL_INTERVAL_S)

    def update(self) -> None:
        """Say that a trial has finished."""
        if self._in_thread:
            self._is_new.set()
        elif time.monotonic() >= self._due and not self._is_over.is_set():
            self._write_running()

    def begin_stage(self, stage: str) -> None:
        """Say what the search does now. A page that was written is written at once."""
        self._stage = stage
        if self._costs:
            self._due = time.monotonic()
            self.update()

    def _follow(self) -> None:
        try:
            while True:
                self._is_new.wait()
                while time.monotonic() < self._due and not self._is_over.is_set():
                    self._is_over.wait(POLL_INTERVAL_S)  # in short steps, because a new stage is due at once
                if self._is_over.is_set():
                    return
                self._is_new.clear()
                self._write_running()
        finally:
            self._has_ended.set()

    def _write_running(self) -> None:
        start, n_modules = time.monotonic(), len(sys.modules)
        self._try_to_write(Running(stage=self._stage, seconds=math.ceil(pause_after(self._costs))))
        if len(sys.modules) > n_modules:  # else what was imported makes the collection after each trial slower
            gc.collect()
            gc.freeze()
        now = time.monotonic()
        self._costs.append(now - start)
        self._due = now + pause_after(self._costs)

    def _try_to_write(self, running: Running | None) -> None:
        try:
            self._write(running)
        except Exception as error:  # noqa: BLE001  (the report must not end the search)
            if not self._failed:
                print(f"warning: the report could not be written: {type(error).__name__}: {error}", file=sys.stderr)
            self._failed = True


def write_search_report(study: optuna.Study, folder: Path, running: Running | None, *, monitor: str) -> None:
    """Write the report of a search into its folder."""
    write_report(
        study,
        folder / REPORT,
        title=study.study_name,
        monitor=monitor,
        folder=folder,
        n_trials=n_trials_of(study),
        running=running,
    )


def pause_after(costs: list[float]) -> float:
    """Return the seconds to the next version, given what each one so far took.

    The shorter of the last two counts, because imports are in the others. The first one does not count: what it imports
    is needed at the end of the search anyway.
    """
    return max(SECONDS_BETWEEN, min(costs[1:][-2:], default=0.0) / MAX_SHARE)
