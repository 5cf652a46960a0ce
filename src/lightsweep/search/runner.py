"""Runs `n_jobs` trials at a time until enough are finished or the search is stopped."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from lightsweep.errors import ConfigError, DiskFullError
from lightsweep.failures import Kind
from lightsweep.interrupt import Interrupted, handled_by
from lightsweep.search.jobs import TrialFailed
from lightsweep.trial.heartbeat import HeartbeatMonitor
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.requeue import (
    RETRIES,
    is_stale,
    is_taken_over,
    recover_stale_trials,
    requeue,
    waiting_message,
)
from lightsweep.trial.status import FAIL_KIND, FAIL_REASON, FEASIBILITY, status_of
from lightsweep.trial.stop import StopReason

ABORT_TIMEOUT_S = 5  # for the threads to see that their jobs were killed
STOP_TIMEOUT_S = 10  # for the jobs to stop by themselves after the timeout of the search
POLL_INTERVAL_S = 0.1
WAIT_INTERVAL_S = 0.5  # between two looks at the trials of other drivers
INTERRUPTED = Outcome(interrupted=True)


class TrialRequeued(BaseException):
    """The trial waits to be run again. Not an `Exception`, because Optuna would record it as failed."""


@dataclass(eq=False)
class TrialRunner:
    """Runs trials, each in a call of Optuna's `optimize`, until the study has `n_trials` in all.

    One job at a time runs in the calling thread, as in-process launchers need it. For more, each of `n_jobs` daemon
    threads runs one job after the other: no thread waits for the slowest trial of a batch, and daemon threads do not
    delay an interrupt.
    """

    study: optuna.Study
    run_job: Callable[[optuna.Trial], Outcome]
    _: KW_ONLY
    n_trials: int
    n_jobs: int
    timeout: float | None
    trial_timeout: float | None
    max_consecutive_failures: int
    max_retries: int
    heartbeats: HeartbeatMonitor
    on_finished: Callable[[FrozenTrial], None]
    request_stop: Callable[[bool], None]
    abort_jobs: Callable[[], None]

    def __post_init__(self) -> None:
        self.stop_reason: StopReason | None = None
        self._n_asking = 0  # threads that may ask the study for a trial and have not got it yet
        self._stop = False
        self._aborted = False
        self._signalled = False
        self._is_overdue = False  # the jobs did not stop within STOP_TIMEOUT_S after the timeout
        self._is_over = threading.Event()
        self._in_flight: dict[int, optuna.Trial] = {}  # by number
        self._awaited: set[int] = set()  # trials of other drivers, already printed
        self._failures_in_a_row = 0
        self._any_worked = any(status_of(t) in ("complete", "pruned") for t in self.study.get_trials(deepcopy=False))
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._asking = threading.Lock()  # SQLite gives a waiting trial to both of two threads that ask at once
        self._of_thread = threading.local()
        self._ended: list[threading.Event] = []  # one per thread

    def run(self) -> StopReason | None:
        """Run the trials. Return the reason if the search ended early.

        The first SIGINT or SIGTERM ends the running trials at their next epoch, the second ends them at once. Their
        state is WAITING then, so that a later start runs them again. Raises, after the running trials have ended, a bug
        of the task function, or a `ConfigError` that came before any trial worked.
        """
        with handled_by(self._on_signal):
            if self.timeout is not None:
                threading.Thread(target=self._stop_after_timeout, args=(self.timeout,), daemon=True).start()
            try:
                if self.n_jobs == 1:
                    self._work()
                else:
                    self._work_in_threads()
            except (KeyboardInterrupt, SystemExit):
                self._abort()
            finally:
                self._is_over.set()
        if self._error is not None:
            raise self._error
        return self.stop_reason

    def running_trials(self) -> list[FrozenTrial]:
        """Return the trials of this driver that are running, with what they have reported. Any thread may ask."""
        numbers = sorted(self._in_flight)
        trials = self.study.get_trials(deepcopy=False)
        return [trials[number] for number in numbers]

    def _stop_after_timeout(self, timeout: float) -> None:
        """Stop the running trials in the middle of an epoch; interrupt those that do not react."""
        if self._is_over.wait(timeout):
            return
        self._stop = True
        self.stop_reason = self.stop_reason or StopReason(
            f"hydra.sweeper.timeout of {timeout:g} s is over", exit_code=0
        )
        self.request_stop(True)
        if self._is_over.wait(STOP_TIMEOUT_S):
            return
        self._is_overdue = True
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _on_signal(self, signum: int, _: object) -> None:
        if self._is_overdue and not self._signalled:
            raise KeyboardInterrupt
        if self._aborted:
            raise Interrupted(signum)
        first = not self._signalled
        self._stop = self._signalled = True
        name = signal.Signals(signum).name
        self.stop_reason = StopReason(f"stopped by {name}", exit_code=128 + signum)
        if not first:
            raise KeyboardInterrupt
        self.request_stop(False)
        print(f"{name}: the running trials end at their next epoch; once more ends them at once", file=sys.stderr)

    def _work_in_threads(self) -> None:
        def work(ended: threading.Event) -> None:
            try:
                self._work()
            finally:
                ended.set()

        self._ended = [threading.Event() for _ in range(self.n_jobs)]
        for ended in self._ended:
            threading.Thread(target=work, args=(ended,), daemon=True).start()
        self._wait_for_threads(until=float("inf"))

    def _wait_for_threads(self, *, until: float) -> None:
        # Not `Thread.join`, nor a lock: in Python 3.11 an exception in the middle of either leaves it inconsistent.
        while not all(ended.is_set() for ended in self._ended) and time.monotonic() < until:
            time.sleep(POLL_INTERVAL_S / 2)

    def _work(self) -> None:
        while self._may_ask():
            try:
                if self.n_jobs > 1:  # else in the main thread, where a signal must not leave a lock behind
                    self._asking.acquire()
                    self._of_thread.asks = True
                self.study.optimize(self._objective, n_trials=1, catch=(TrialFailed,), callbacks=[self._finished])
            except TrialRequeued:
                continue
            except Exception as error:  # noqa: BLE001  (raised again by `run`, in the main thread)
                self._error = self._error or error
                self._stop = True
            finally:
                self._has_asked()

    def _has_asked(self) -> None:
        if getattr(self._of_thread, "asks", False):
            self._of_thread.asks = False
            self._asking.release()

    def _may_ask(self) -> bool:
        """Return True if one of the first `n_trials` is to be run: a new one, or one that waits.

        While another driver runs the last trials of the study, wait: its process may die, and the trials come back.
        """
        while True:
            with self._lock:
                if self._stop:
                    return False
                trials = self.study.get_trials(deepcopy=False)
                n_waiting = [trial.state for trial in trials[: self.n_trials]].count(TrialState.WAITING)
                n_to_run = n_waiting + max(0, self.n_trials - len(trials))
                if n_to_run > self._n_asking:
                    self._n_asking += 1
                    return True
                if not self._n_asking:
                    running = [t for t in trials if t.state == TrialState.RUNNING and t.number not in self._in_flight]
                    if not running and not self._in_flight:
                        return False
                    self._recover_or_wait(running)
                pause = POLL_INTERVAL_S if self._in_flight or self._n_asking else WAIT_INTERVAL_S
            time.sleep(pause)

    def _recover_or_wait(self, running: Sequence[FrozenTrial]) -> None:
        stale = [trial for trial in running if is_stale(trial, self.heartbeats)]
        for trial in recover_stale_trials(self.study, stale, self.heartbeats, max_retries=self.max_retries):
            self.on_finished(trial)
        if self._in_flight:
            return
        for trial in running:
            if trial not in stale and trial.number not in self._awaited:
                self._awaited.add(trial.number)
                print(waiting_message(trial, self.heartbeats), file=sys.stderr, flush=True)

    def _objective(self, trial: optuna.Trial) -> Sequence[float]:
        self._has_asked()
        with self._lock:
            self._in_flight[trial.number] = trial
            self._n_asking -= 1
        if trial.number >= self.n_trials:  # another driver asked for the last one at the same time
            self._requeue(trial.number)
            raise TrialRequeued
        return self._values_or_raise(trial, self._outcome(trial))

    def _outcome(self, trial: optuna.Trial) -> Outcome:
        """Run the trial's job and return its outcome.

        Raises what ends the search: a bug, or a `ConfigError` while no trial has worked.
        """
        start = time.monotonic()
        try:
            outcome = INTERRUPTED if self._aborted else self.run_job(trial)
            if is_taken_over(trial):  # then the result of the other driver counts
                return INTERRUPTED
            if not outcome.interrupted:
                _record(trial, outcome)
        except KeyboardInterrupt:
            return INTERRUPTED
        except SystemExit as leaving:
            if self._signalled or self._is_overdue:  # Lightning turns SIGTERM and KeyboardInterrupt into it
                self._stop = True
                return INTERRUPTED
            return Outcome.failure(f"it called sys.exit({leaving.code})")
        except DiskFullError as error:
            self._error, self._stop = error, True
            return INTERRUPTED
        except ConfigError as error:
            if not self._any_worked:
                raise  # no trial can do better with this config
            return Outcome.failure(str(error))
        if outcome.kind == Kind.WORKER_LOST:
            return self._outcome_of_lost_worker(outcome, trial, seconds=time.monotonic() - start)
        return outcome

    def _outcome_of_lost_worker(self, outcome: Outcome, trial: optuna.Trial, *, seconds: float) -> Outcome:
        if self._aborted:
            return INTERRUPTED
        if self.trial_timeout is not None and seconds > self.trial_timeout:  # the worker ended itself, see `limit_time`
            reason = f"it took longer than hydra.sweeper.trial_timeout={self.trial_timeout:g}"
            return Outcome.failure(reason, Kind.TIMEOUT)
        retries = int(trial.user_attrs.get(RETRIES, 0))
        if retries < self.max_retries:
            trial.set_user_attr(RETRIES, retries + 1)
            return INTERRUPTED
        return outcome

    def _values_or_raise(self, trial: optuna.Trial, outcome: Outcome) -> Sequence[float]:
        """Turn the outcome of a job into the state of its trial; no other place does.

        Values complete the trial. `TrialPruned` prunes it, `TrialFailed` fails it, and `TrialRequeued` leaves it
        waiting in the study. Samplers ignore failed trials, so one whose hyperparameters are to blame is pruned, with
        a violated constraint from which they learn: it is infeasible.
        """
        if outcome.interrupted:
            try:
                self._requeue(trial.number)
            except OSError:  # a full disk: the next start finds a stale trial
                if not self._stop:
                    raise
            raise TrialRequeued
        if outcome.failed is None:
            _set_feasible(trial, True)
            if outcome.pruned:
                raise optuna.TrialPruned(outcome.pruned)
            return outcome.values
        kind = Kind(outcome.kind or Kind.ERROR)
        trial.set_user_attr(FAIL_REASON, outcome.failed)
        trial.set_user_attr(FAIL_KIND, kind.value)
        if kind.is_infeasible:
            _set_feasible(trial, False)
            raise optuna.TrialPruned(outcome.failed)
        raise TrialFailed(outcome.failed, kind)

    def _requeue(self, number: int) -> None:
        """Let the trial wait in the study, under its number and with its parameters."""
        with self._lock:
            trial = self._in_flight.pop(number, None)
        if trial is not None and not is_taken_over(trial):
            requeue(trial)

    def _finished(self, _: optuna.Study, trial: FrozenTrial) -> None:
        with self._lock:
            self._in_flight.pop(trial.number, None)
            self._count(trial)
            if self._failures_in_a_row >= self.max_consecutive_failures and not self._stop:
                self._stop = True
                self.stop_reason = StopReason(
                    f"{self._failures_in_a_row} trials failed in a row (hydra.sweeper.max_consecutive_failures);"
                    f" the last one: {trial.user_attrs.get(FAIL_REASON)}",
                    exit_code=1,
                )
            self.on_finished(trial)

    def _count(self, trial: FrozenTrial) -> None:
        """Count failures in a row. An infeasible trial counts only until one trial has worked."""
        match status_of(trial):
            case "failed":
                self._failures_in_a_row += 1
            case "infeasible":
                self._failures_in_a_row += not self._any_worked
            case _:
                self._failures_in_a_row = 0
                self._any_worked = True

    def _abort(self) -> None:
        """Kill the running jobs, and leave no trial RUNNING in the study."""
        self._stop = self._aborted = True
        self.abort_jobs()
        deadline = time.monotonic() + ABORT_TIMEOUT_S
        self._wait_for_threads(until=deadline)  # their launcher raises when a job was killed
        for number in list(self._in_flight):
            self._requeue(number)


def _record(trial: optuna.Trial, outcome: Outcome) -> None:
    attributes = {
        "best_epoch": outcome.best_epoch,
        "n_epochs": outcome.n_epochs,
        "max_epochs": outcome.max_epochs,
        "n_params": outcome.n_params,
        "pruned_reason": outcome.pruned,
        "fold_values": outcome.fold_values or None,
        "refit_epochs": outcome.refit_epochs,
    }
    for name, value in attributes.items():
        if value is not None:
            trial.set_user_attr(name, value)


def _set_feasible(trial: optuna.Trial, feasible: bool) -> None:
    """Set the constraint once: a trial may have been interrupted after it, and Optuna would warn."""
    if not trial.constraints:
        trial.set_constraint(FEASIBILITY, 0 if feasible else 1)
