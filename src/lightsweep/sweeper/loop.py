"""Keeps `n_jobs` trials in flight until enough are finished or something ends the search."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from lightsweep.errors import ConfigError
from lightsweep.sweeper.jobs import TrialFailed

SIGINT_EXIT = 128 + signal.SIGINT
SIGTERM_EXIT = 128 + signal.SIGTERM
SECONDS_TO_SETTLE = 5
INTERRUPTED = "interrupted"


class Terminated(SystemExit):
    """SIGTERM, as a scheduler sends it before it kills."""


@dataclass(frozen=True)
class Ending:
    """Why the search ended before all trials were run, and the exit code for it."""

    reason: str
    exit_code: int

    @property
    def is_interrupt(self) -> bool:
        """Whether it was a person or a scheduler that ended the search."""
        return self.exit_code in (SIGINT_EXIT, SIGTERM_EXIT)


class TrialLoop:
    """Runs `n_trials` more trials of a study, `n_jobs` at a time, each in Optuna's own `optimize`.

    With one job everything happens in the calling thread, as in-process launchers need it. With more, each of
    `n_jobs` daemon threads keeps one job in flight: nobody waits for the slowest, and an interrupt is not held
    up by an executor that insists on finishing.
    """

    def __init__(
        self,
        study: optuna.Study,
        objective: Callable[[optuna.Trial], float],
        *,
        n_trials: int,
        n_jobs: int,
        timeout: float | None,
        max_consecutive_failures: int,
        on_finished: Callable[[FrozenTrial], None],
        abort_jobs: Callable[[], None],
    ) -> None:
        self.study = study
        self.objective = objective
        self.n_jobs = n_jobs
        self.timeout = timeout
        self.max_consecutive_failures = max_consecutive_failures
        self.on_finished = on_finished
        self.abort_jobs = abort_jobs
        self.ending: Ending | None = None
        self._tickets = n_trials
        self._stop = False
        self._aborted = False
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._in_flight: set[int] = set()
        self._failures_in_a_row = 0
        self._any_good = any(t.state == TrialState.COMPLETE for t in study.get_trials(deepcopy=False))
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def run(self) -> Ending | None:
        """Run the trials; give back what ended the search early, None if nothing did.

        A bug, or a config that is at fault from the first trial on, is raised after the running trials ended.
        """
        previous = signal.signal(signal.SIGTERM, _terminate)  # by default it would end the process on the spot
        try:
            if self.n_jobs == 1:
                self._work()
            else:
                self._work_in_threads()
        except (KeyboardInterrupt, SystemExit) as interrupt:
            self._interrupted(interrupt)
        finally:
            signal.signal(signal.SIGTERM, previous)
        if self._error is not None:
            raise self._error
        return self.ending

    def _work_in_threads(self) -> None:
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(self.n_jobs)]
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            while thread.is_alive():
                thread.join(timeout=0.2)  # an unlimited join would not let Ctrl-C through

    def _work(self) -> None:
        while self._take_ticket():
            try:
                self.study.optimize(self._run_trial, n_trials=1, catch=(TrialFailed,), callbacks=[self._finished])
            except Exception as error:  # noqa: BLE001  (raised again by `run`, in the main thread)
                self._error = self._error or error
                self._stop = True

    def _take_ticket(self) -> bool:
        with self._lock:
            if self._stop or self._tickets == 0:
                return False
            if self._deadline is not None and time.monotonic() >= self._deadline:
                self.ending = Ending(f"hydra.sweeper.timeout of {self.timeout:g} s is over", exit_code=0)
                return False
            self._tickets -= 1
            return True

    def _run_trial(self, trial: optuna.Trial) -> float:
        with self._lock:
            self._in_flight.add(trial.number)
        try:
            return self.objective(trial)
        except KeyboardInterrupt:
            trial.set_user_attr("fail_reason", INTERRUPTED)
            raise
        except (TrialFailed, ConfigError) as error:
            if isinstance(error, ConfigError) and not self._any_good:
                raise  # no trial can do better than this config
            reason = INTERRUPTED if self._aborted else str(error)
            trial.set_user_attr("fail_reason", reason)
            raise TrialFailed(reason) from None

    def _finished(self, _: optuna.Study, trial: FrozenTrial) -> None:
        with self._lock:
            self._in_flight.discard(trial.number)
            failed = trial.state == TrialState.FAIL
            self._failures_in_a_row = self._failures_in_a_row + 1 if failed else 0
            self._any_good = self._any_good or not failed
            if self._failures_in_a_row >= self.max_consecutive_failures and not self._stop:
                self._stop = True
                self.ending = Ending(
                    f"{self._failures_in_a_row} trials failed in a row (hydra.sweeper.max_consecutive_failures);"
                    f" the last one: {trial.user_attrs.get('fail_reason')}",
                    exit_code=1,
                )
            self.on_finished(trial)

    def _interrupted(self, interrupt: BaseException) -> None:
        """Take no new trial, end the running ones, and leave none of them RUNNING in the study."""
        self._stop = self._aborted = True
        # Lightning ignores further SIGINTs once it has seen one, and exits with 1.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.abort_jobs()
        deadline = time.monotonic() + SECONDS_TO_SETTLE
        for thread in self._threads:  # most of them learn from their launcher that the job is gone
            thread.join(timeout=max(0.0, deadline - time.monotonic()))
        for number in sorted(self._in_flight):
            self._give_up(number)
        if isinstance(interrupt, Terminated):
            self.ending = Ending("terminated (SIGTERM)", SIGTERM_EXIT)
        else:
            self.ending = Ending("interrupted (Ctrl-C)", SIGINT_EXIT)

    def _give_up(self, number: int) -> None:
        trial_id = self.study.get_trials(deepcopy=False)[number]._trial_id
        with contextlib.suppress(ValueError, UpdateFinishedTrialError):  # Optuna has told it already
            self.study._storage.set_trial_user_attr(trial_id, "fail_reason", INTERRUPTED)
            self.study.tell(number, state=TrialState.FAIL)
        self.on_finished(self.study.get_trials(deepcopy=False)[number])


def _terminate(*_: object) -> None:
    raise Terminated
