"""Keeps `n_jobs` trials in flight until enough are finished or something ends the search."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from lightsweep.errors import ConfigError
from lightsweep.sweeper.jobs import TrialFailed, TrialInterrupted, TrialWaits, WorkerLost
from lightsweep.sweeper.retries import RETRIES, put_back, reclaim_abandoned

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SECONDS_TO_SETTLE = 5
SECONDS_BETWEEN_LOOKS = 0.1


@dataclass(frozen=True)
class Ending:
    """Why the search ended before all trials were run, and the exit code for it."""

    reason: str
    exit_code: int

    @property
    def is_interrupt(self) -> bool:
        """Whether it was a person or a scheduler that ended the search."""
        return self.exit_code > 128


class TrialLoop:
    """Runs trials, `n_jobs` at a time, each in Optuna's own `optimize`, until the study has `n_trials` in all.

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
        max_retries: int,
        on_finished: Callable[[FrozenTrial], None],
        ask_jobs_to_stop: Callable[[], None],
        abort_jobs: Callable[[], None],
    ) -> None:
        self.study = study
        self.objective = objective
        self.n_jobs = n_jobs
        self.timeout = timeout
        self.max_consecutive_failures = max_consecutive_failures
        self.max_retries = max_retries
        self.n_trials = n_trials
        self.on_finished = on_finished
        self.ask_jobs_to_stop = ask_jobs_to_stop
        self.abort_jobs = abort_jobs
        self.ending: Ending | None = None
        self._n_asking = 0  # tickets given out whose trial is not in the study yet
        self._stop = False
        self._aborted = False
        self._signalled = False
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._in_flight: dict[int, int] = {}  # trial number to Optuna's id
        self._failures_in_a_row = 0
        self._any_good = any(t.state == TrialState.COMPLETE for t in study.get_trials(deepcopy=False))
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def run(self) -> Ending | None:
        """Run the trials; give back what ended the search early, None if nothing did.

        The first SIGINT or SIGTERM lets the running trials end at their next epoch, the second ends them at once.
        Either way they wait in the study to be run again. A bug, or a config that is at fault from the first trial
        on, is raised after the running trials ended.
        """
        previous = {signum: signal.signal(signum, self._on_signal) for signum in SIGNALS}
        try:
            if self.n_jobs == 1:
                self._work()
            else:
                self._work_in_threads()
        except (KeyboardInterrupt, SystemExit):
            self._end_at_once()
        finally:
            for signum, handler in previous.items():
                signal.signal(signum, handler)
        if self._error is not None:
            raise self._error
        return self.ending

    def _on_signal(self, signum: int, _: object) -> None:
        first = not self._signalled
        self._stop = self._signalled = True
        name = signal.Signals(signum).name
        self.ending = Ending(f"stopped by {name}", exit_code=128 + signum)
        if not first:
            raise KeyboardInterrupt
        self.ask_jobs_to_stop()
        print(f"{name}: the running trials end at their next epoch; once more ends them at once", file=sys.stderr)

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
            except TrialInterrupted:
                self._stop = True
            except TrialWaits:
                continue
            except Exception as error:  # noqa: BLE001  (raised again by `run`, in the main thread)
                self._error = self._error or error
                self._stop = True

    def _take_ticket(self) -> bool:
        """Whether there is a trial to run: a new one, or one that waits.

        While another driver runs the last trials of the study this waits for them, because they may come back.
        """
        while True:
            with self._lock:
                if self._stop:
                    return False
                if self._deadline is not None and time.monotonic() >= self._deadline:
                    self.ending = Ending(f"hydra.sweeper.timeout of {self.timeout:g} s is over", exit_code=0)
                    return False
                trials = self.study.get_trials(deepcopy=False)
                n_waiting = sum(t.state == TrialState.WAITING for t in trials)
                n_to_run = n_waiting + max(0, self.n_trials - len(trials))
                if n_to_run > self._n_asking:
                    self._n_asking += 1
                    return True
                if not self._n_asking:
                    running = [t for t in trials if t.state == TrialState.RUNNING and t.number not in self._in_flight]
                    if not running and not self._in_flight:
                        return False
                    self._reclaim(running)
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _reclaim(self, running: Sequence[FrozenTrial]) -> None:
        for trial in reclaim_abandoned(self.study, running, max_retries=self.max_retries):
            self.on_finished(trial)

    def _run_trial(self, trial: optuna.Trial) -> float:
        with self._lock:
            self._in_flight[trial.number] = trial._trial_id
            self._n_asking -= 1
        try:
            return self.objective(trial)
        except (TrialInterrupted, KeyboardInterrupt):
            self._put_back(trial.number)
            raise TrialInterrupted from None
        except SystemExit as leaving:
            if self._signalled:  # what Lightning makes of a SIGTERM, and of the KeyboardInterrupt of a second Ctrl-C
                self._put_back(trial.number)
                raise TrialInterrupted from None
            reason = f"it called sys.exit({leaving.code})"
        except ConfigError as error:
            if not self._any_good:
                raise  # no trial can do better than this config
            reason = str(error)
        except WorkerLost as lost:
            if self._aborted:  # as the launcher was told
                self._put_back(trial.number)
                raise TrialInterrupted from None
            if int(trial.user_attrs.get(RETRIES, 0)) < self.max_retries:
                trial.set_user_attr(RETRIES, int(trial.user_attrs.get(RETRIES, 0)) + 1)
                self._put_back(trial.number)
                raise TrialWaits from None
            reason = str(lost)
        except TrialFailed as failure:
            reason = str(failure)
        trial.set_user_attr("fail_reason", reason)
        raise TrialFailed(reason)

    def _put_back(self, number: int) -> None:
        """Let the trial wait in the study: whoever asks next gets it, under its number and with its parameters."""
        with self._lock:
            trial_id = self._in_flight.pop(number, None)
        if trial_id is not None:
            put_back(self.study, trial_id)

    def _finished(self, _: optuna.Study, trial: FrozenTrial) -> None:
        with self._lock:
            self._in_flight.pop(trial.number, None)
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

    def _end_at_once(self) -> None:
        """End the running trials, and leave none of them RUNNING in the study."""
        self._stop = self._aborted = True
        self.abort_jobs()
        deadline = time.monotonic() + SECONDS_TO_SETTLE
        for thread in self._threads:  # most of them learn from their launcher that the job is gone
            if thread.ident is not None:
                thread.join(timeout=max(0.0, deadline - time.monotonic()))
        for number in list(self._in_flight):
            self._put_back(number)
