"""The runner of trials: what is run, what is counted, and what ends it; on a real in-memory study."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from lightsweep.errors import ConfigError, DiskFullError
from lightsweep.failures import Kind
from lightsweep.search.jobs import outcome_of
from lightsweep.search.runner import TrialRunner
from lightsweep.storage.storage import open_storage
from lightsweep.trial.heartbeat import HeartbeatMonitor, key_of
from lightsweep.trial.identity import Owner, ProcessIdentity
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.status import status_of
from lightsweep.trial.stop import StopReason
from lightsweep.unofficial import trial_of

Job = Callable[[optuna.Trial], Outcome | float]
COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def journal_study(tmp_path: Path) -> optuna.Study:
    """A study as a search has it; Optuna's in-memory storage does not look back for a trial that waits again."""
    return optuna.create_study(storage=open_storage(str(tmp_path / "study.journal")))


def job_of(script: str) -> Job:
    """A job that does what the letter at its trial's number says.

    Complete, prune, fail, infeasible, misconfigured, exit, bug.
    """

    def job(trial: optuna.Trial) -> Outcome | float:
        match script[trial.number % len(script)]:
            case "p":
                return Outcome(pruned="pruned")
            case "f":
                return Outcome.failure("it broke")
            case "i":
                return Outcome.failure("the loss is nan", Kind.DIVERGED)
            case "m":
                raise ConfigError("model.x is 3; it must be 2.")
            case "x":
                sys.exit(3)
            case "b":
                raise ZeroDivisionError
        return float(trial.number)

    return job


def runner_of(study: optuna.Study, job: Job, **settings: object) -> TrialRunner:
    defaults: dict[str, object] = {
        "n_trials": 6,
        "n_jobs": 1,
        "timeout": None,
        "trial_timeout": None,
        "max_consecutive_failures": 3,
        "max_retries": 1,
        "heartbeats": HeartbeatMonitor(study),
        "on_finished": lambda trial: None,
        "request_stop": lambda at_once: None,
        "abort_jobs": lambda: None,
    }
    return TrialRunner(study, lambda trial: outcome_of(job(trial)), **{**defaults, **settings})  # type: ignore[arg-type]


def ran(job: Job, **settings: object) -> tuple[optuna.Study, StopReason | None]:
    """A study in memory after its search, and what ended that before its time."""
    study = optuna.create_study()
    return study, runner_of(study, job, **settings).run()


@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize(
    ("script", "states"),
    [("c", [COMPLETE] * 6), ("cpf", [COMPLETE, PRUNED, FAIL] * 2), ("ffc", [FAIL, FAIL, COMPLETE] * 2)],
)
def test_every_trial_ends_in_the_state_that_it_earned(script: str, states: list[TrialState], n_jobs: int) -> None:
    study = optuna.create_study()
    finished: list[FrozenTrial] = []
    runner = runner_of(study, job_of(script), n_jobs=n_jobs, on_finished=finished.append, max_consecutive_failures=9)
    assert runner.run() is None
    assert [t.state for t in study.trials] == states
    assert sorted(t.number for t in finished) == list(range(6))


@pytest.mark.parametrize("kind", list(Kind))
def test_out_of_memory_and_divergence_are_infeasible_and_all_else_is_a_failure(kind: Kind) -> None:
    def job(trial: optuna.Trial) -> Outcome | float:
        if trial.number:
            return Outcome.failure("the reason", kind)
        return 0.0

    study, _ = ran(job, n_trials=2)
    good, bad = study.trials
    assert (status_of(good), good.constraints) == ("complete", {"feasibility": 0})
    assert bad.user_attrs["fail_reason"] == "the reason"
    assert bad.user_attrs["fail_kind"] == kind
    if kind in (Kind.OUT_OF_MEMORY, Kind.DIVERGED):
        assert (status_of(bad), bad.state, bad.constraints) == ("infeasible", PRUNED, {"feasibility": 1})
    else:
        assert (status_of(bad), bad.state, bad.constraints) == ("failed", FAIL, {})


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_running_trials_of_this_driver_are_known_with_their_reports(n_jobs: int, tmp_path: Path) -> None:
    study = journal_study(tmp_path)
    others = study.ask()  # by another driver
    seen: list[dict[int, float]] = []

    def job(trial: optuna.Trial) -> float:
        trial.report(0.1 * trial.number, 0)
        running = {t.number: t for t in runner.running_trials()}
        assert others.number not in running
        seen.append(running[trial.number].intermediate_values)
        return 0.0

    runner = runner_of(study, job, n_trials=1, n_jobs=n_jobs)
    study.tell(others, 0.0)
    runner.n_trials = 4
    assert runner.run() is None
    assert sorted(report[0] for report in seen) == pytest.approx([0.1, 0.2, 0.3])
    assert runner.running_trials() == []


def test_a_pruned_trial_keeps_what_is_known_of_its_epochs() -> None:
    outcome = Outcome(value=0.5, best_epoch=1, n_epochs=3, max_epochs=5, pruned="below the median")
    study, _ = ran(lambda _: outcome, n_trials=1)
    assert study.trials[0].state == PRUNED
    assert study.trials[0].user_attrs == {
        "best_epoch": 1,
        "n_epochs": 3,
        "max_epochs": 5,
        "pruned_reason": "below the median",
    }


@pytest.mark.parametrize(("script", "n_run"), [("iiiiii", 3), ("ciiiii", 6), ("ffciif", 6), ("cffiff", 5)])
def test_infeasible_trials_end_a_search_only_while_nothing_has_worked(script: str, n_run: int) -> None:
    study, stop_reason = ran(job_of(script))
    assert len(study.trials) == n_run
    assert (stop_reason is None) == (n_run == 6)


def test_the_sampler_keeps_away_from_where_trials_are_infeasible() -> None:
    """The job always diverges above 0.5 and grows towards it: Optuna alone spends most of its trials there."""

    def n_trials_in_the_failing_half(kind: Kind, seed: int) -> int:
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))

        def job(trial: optuna.Trial) -> Outcome | float:
            x = trial.suggest_float("x", 0, 1)
            if x > 0.5:
                return Outcome.failure("the loss is nan", kind)
            return x

        runner_of(study, job, n_trials=60, max_consecutive_failures=60).run()
        return sum(t.params["x"] > 0.5 for t in study.trials)

    told, forgotten = (
        sorted(n_trials_in_the_failing_half(kind, seed) for seed in range(3))[1] for kind in (Kind.DIVERGED, Kind.ERROR)
    )
    assert told < 0.75 * forgotten


def test_a_full_disk_ends_the_search_and_its_trial_waits(tmp_path: Path) -> None:
    study = journal_study(tmp_path)

    def job(trial: optuna.Trial) -> Outcome | float:
        if trial.number == 2:
            raise DiskFullError(tmp_path)
        return 0.0

    with pytest.raises(DiskFullError, match="is full"):
        runner_of(study, job).run()
    assert [t.state for t in study.trials] == [COMPLETE, COMPLETE, TrialState.WAITING]


@pytest.mark.parametrize(("trial_timeout", "state", "n_runs"), [(None, COMPLETE, 2), (0.01, FAIL, 1)])
def test_a_worker_that_is_gone_after_its_trials_time_was_over_ended_itself(
    trial_timeout: float | None, state: TrialState, n_runs: int, tmp_path: Path
) -> None:
    study = journal_study(tmp_path)
    runs: list[int] = []

    def job(trial: optuna.Trial) -> Outcome | float:
        runs.append(trial.number)
        if len(runs) == 1:
            time.sleep(0.05)
            return Outcome.failure("its worker was lost", Kind.WORKER_LOST)
        return 0.0

    runner_of(study, job, n_trials=2, trial_timeout=trial_timeout).run()
    assert runs.count(0) == n_runs
    assert study.trials[0].state == state
    assert study.trials[0].user_attrs.get("fail_kind") == (Kind.TIMEOUT if state == FAIL else None)


@pytest.mark.parametrize(("script", "reason"), [("cm", "model.x is 3; it must be 2."), ("cx", "it called sys.exit(3)")])
def test_after_a_good_trial_a_config_error_or_an_exit_fails_its_trial_alone(script: str, reason: str) -> None:
    study, stop_reason = ran(job_of(script))
    assert stop_reason is None
    assert [t.state for t in study.trials] == [COMPLETE, FAIL] * 3
    assert study.trials[1].user_attrs["fail_reason"] == reason


def test_failures_in_a_row_end_the_search_with_the_last_reason() -> None:
    study, stop_reason = ran(job_of("cfffff"))
    assert [t.state for t in study.trials] == [COMPLETE, FAIL, FAIL, FAIL]
    assert stop_reason is not None
    assert stop_reason.exit_code == 1
    assert "3 trials failed in a row" in stop_reason.reason
    assert "it broke" in stop_reason.reason


@pytest.mark.parametrize(("script", "error"), [("m", ConfigError), ("b", ZeroDivisionError), ("cb", ZeroDivisionError)])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_wrong_config_and_a_bug_are_raised_and_leave_no_running_trial(
    script: str, error: type[Exception], n_jobs: int
) -> None:
    study = optuna.create_study()
    with pytest.raises(error):
        runner_of(study, job_of(script), n_jobs=n_jobs).run()
    assert all(t.state.is_finished() for t in study.trials)
    assert len(study.trials) < 6


def test_no_trial_starts_after_the_timeout() -> None:
    def slow(trial: optuna.Trial) -> Outcome | float:
        time.sleep(0.2)
        return 0.0

    asked: list[bool] = []
    study, stop_reason = ran(slow, timeout=0.1, n_trials=50, request_stop=asked.append)
    assert asked == [True]  # to stop even in the middle of an epoch
    assert len(study.trials) == 1
    assert stop_reason is not None
    assert stop_reason.exit_code == 0
    assert "hydra.sweeper.timeout" in stop_reason.reason


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_trial_that_does_not_react_to_the_timeout_is_ended_and_waits(
    n_jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightsweep.search.runner.STOP_TIMEOUT_S", 0.2)
    study = journal_study(tmp_path)
    gone = threading.Event()

    def hangs(trial: optuna.Trial) -> Outcome | float:
        if trial.number == 0:
            return 0.0
        assert gone.wait(timeout=30)
        return Outcome.failure("the worker is gone", Kind.WORKER_LOST)

    stop_reason = runner_of(study, hangs, timeout=0.2, n_jobs=n_jobs, abort_jobs=gone.set).run()
    assert stop_reason is not None
    assert stop_reason.exit_code == 0
    assert study.trials[0].state == COMPLETE
    assert {t.state for t in study.trials[1:]} == {TrialState.WAITING}


def test_nobody_waits_for_the_slowest_trial() -> None:
    others_done = threading.Event()
    n_done = 0

    def first_waits_for_all_others(trial: optuna.Trial) -> Outcome | float:
        if trial.number == 0:
            assert others_done.wait(timeout=30)
        return 0.0

    def count(trial: FrozenTrial) -> None:
        nonlocal n_done
        n_done += 1
        if n_done == 5:
            others_done.set()

    study, _ = ran(first_waits_for_all_others, n_jobs=2, on_finished=count)
    assert [t.state for t in study.trials] == [COMPLETE] * 6


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_the_running_trials_stop_and_wait(signum: signal.Signals, n_jobs: int) -> None:
    study = optuna.create_study()
    finished: list[FrozenTrial] = []
    asked = threading.Event()

    def job(trial: optuna.Trial) -> Outcome | float:
        trial.report(0.5, step=0)
        if trial.number < 2:
            return 0.0
        if trial.number == 2:
            os.kill(os.getpid(), signum)
        assert asked.wait(timeout=30)
        return Outcome(interrupted=True)

    runner = runner_of(study, job, n_jobs=n_jobs, on_finished=finished.append, request_stop=lambda at_once: asked.set())
    stop_reason = runner.run()
    assert stop_reason is not None
    assert stop_reason.exit_code == 128 + signum
    assert stop_reason.is_interrupt
    assert [t.state for t in study.trials[:2]] == [COMPLETE] * 2
    assert {t.state for t in study.trials[2:]} == {TrialState.WAITING}
    assert [t.intermediate_values for t in study.trials[2:]] == [{0: 0.5}] * (len(study.trials) - 2)
    assert sorted(t.number for t in finished) == [0, 1]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_second_signal_ends_the_running_trials_at_once_and_they_wait(n_jobs: int) -> None:
    study = optuna.create_study()
    asked, gone = threading.Event(), threading.Event()

    def job(trial: optuna.Trial) -> Outcome | float:
        if trial.number == 0:
            return 0.0
        if trial.number == 1:
            os.kill(os.getpid(), signal.SIGINT)
            assert asked.wait(timeout=30)
            os.kill(os.getpid(), signal.SIGINT)
        assert gone.wait(timeout=30)
        return Outcome.failure("the worker is gone", Kind.WORKER_LOST)

    runner = runner_of(study, job, n_jobs=n_jobs, request_stop=lambda at_once: asked.set(), abort_jobs=gone.set)
    stop_reason = runner.run()
    assert stop_reason is not None
    assert stop_reason.exit_code == 130
    assert study.trials[0].state == COMPLETE
    assert {t.state for t in study.trials[1:]} == {TrialState.WAITING}


def test_a_trial_that_waits_is_run_again_under_its_number_with_its_parameters() -> None:
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=2))
    seen: list[tuple[int, float]] = []

    def job(trial: optuna.Trial) -> Outcome | float:
        seen.append((trial.number, trial.suggest_float("x", 0, 1)))
        if len(seen) == 3:
            return Outcome(interrupted=True)
        return seen[-1][1]

    for _ in range(2):
        runner_of(study, job, n_trials=6).run()
    assert [number for number, _ in seen] == [0, 1, 2, 2, 3, 4, 5]
    assert seen[2] == seen[3]
    assert [t.state for t in study.trials] == [COMPLETE] * 6


@pytest.mark.parametrize(("n_losses", "state"), [(1, COMPLETE), (2, FAIL)])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_trial_that_lost_its_worker_is_run_again_but_not_for_ever(
    n_losses: int, state: TrialState, n_jobs: int, tmp_path: Path
) -> None:
    study = journal_study(tmp_path)
    runs: list[int] = []

    def job(trial: optuna.Trial) -> Outcome | float:
        runs.append(trial.number)
        if trial.number == 1 and runs.count(1) <= n_losses:
            return Outcome.failure("its worker was lost", Kind.WORKER_LOST)
        return 0.0

    assert runner_of(study, job, n_trials=4, n_jobs=n_jobs).run() is None
    assert [t.state for t in study.trials] == [COMPLETE, state, COMPLETE, COMPLETE]
    assert runs.count(1) == 2


@pytest.mark.parametrize(
    ("owner", "retries", "states"),
    [("gone", 0, [COMPLETE] * 3), ("gone", 1, [FAIL, COMPLETE, COMPLETE]), ("nobody", 0, [COMPLETE] * 3)],
)
def test_a_running_trial_whose_process_is_gone_is_taken_over(
    owner: str, retries: int, states: list[TrialState], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightsweep.trial.requeue.OWNER_GRACE_S", 0.3)
    study = journal_study(tmp_path)
    left = study.ask()
    left.set_user_attr("retries", retries)
    if owner == "gone":
        left.set_user_attr("owner", {"host": socket.gethostname(), "pid": os.getpid(), "started": 1.0})
    finished: list[FrozenTrial] = []
    assert runner_of(study, job_of("c"), n_trials=3, on_finished=finished.append).run() is None
    assert [t.state for t in study.trials] == states
    assert sorted(t.number for t in finished) == [0, 1, 2]


ELSEWHERE = replace(ProcessIdentity.here(), host="elsewhere", pid=1)


def begun_by_another(study: optuna.Study) -> optuna.Trial:
    """A running trial of a driver on another host."""
    trial = study.ask()
    trial.set_user_attr("owner", Owner(ELSEWHERE, ELSEWHERE).to_record())
    return trial


def test_a_trial_that_another_driver_runs_is_left_to_it_and_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    study = optuna.create_study()
    others = begun_by_another(study)
    other_driver = threading.Timer(0.5, lambda: study.tell(others.number, 7.0))
    other_driver.start()
    assert runner_of(study, job_of("c"), n_trials=3).run() is None
    assert [t.state for t in study.trials] == [COMPLETE] * 3
    assert study.trials[0].value == 7.0
    [message] = capsys.readouterr().err.splitlines()
    assert message.startswith("waiting for trial 0, which process 1 on elsewhere runs; ")


def test_a_trial_of_another_host_is_taken_over_once_it_gives_no_sign_of_life(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = journal_study(tmp_path)
    begun_by_another(study)
    killed = threading.Event()
    times: list[float] = []

    def other_driver() -> None:
        for beat in range(15):
            study.set_user_attr(key_of(ELSEWHERE), {**ELSEWHERE.to_record(), "beat": beat, "interval": 0.4})
            times[:] = [time.monotonic()]
            killed.wait(0.1)

    threading.Thread(target=other_driver).start()

    def job(trial: optuna.Trial) -> Outcome | float:
        if trial.number == 0:
            times.append(time.monotonic())
        return 0.0

    runner_of(study, job, n_trials=2).run()
    last_beat, taken_over = times
    assert taken_over - last_beat > 1.6
    assert [t.state for t in study.trials] == [COMPLETE] * 2
    waits, takes = capsys.readouterr().err.splitlines()
    assert waits.startswith("waiting for trial 0, which process 1 on elsewhere runs; it is taken over once")
    assert takes == "trial 0 is taken over: process 1 on elsewhere sent no heartbeat for 1.6 s"


@pytest.mark.parametrize("outcome", [Outcome(value=1.0), Outcome(pruned="it was worse"), Outcome(interrupted=True)])
@pytest.mark.parametrize("is_finished", [True, False])
def test_the_result_of_a_trial_that_was_taken_over_from_this_driver_is_dropped(
    outcome: Outcome, is_finished: bool, tmp_path: Path
) -> None:
    study = journal_study(tmp_path)

    def job(trial: optuna.Trial) -> Outcome:
        if trial.number:
            return Outcome(value=2.0)
        of_other = trial_of(study, trial.number)  # a trial does not see what another one has set
        of_other.set_user_attr("owner", Owner(ELSEWHERE, ELSEWHERE).to_record())
        if is_finished:
            study.tell(trial.number, 7.0)
        else:
            threading.Timer(1.0, lambda: study.tell(trial.number, 7.0)).start()
        return outcome

    runner = runner_of(study, job_of("c"), n_trials=2)
    runner.run_job = job
    assert runner.run() is None
    assert [t.value for t in study.trials] == [7.0, 2.0]


def test_two_drivers_that_ask_at_once_run_no_more_trials_than_were_asked_for(tmp_path: Path) -> None:
    study = journal_study(tmp_path)
    runner = runner_of(study, job_of("c"), n_trials=3)
    may_ask = runner._may_ask

    def and_another_driver_asks_first() -> bool:
        is_given = may_ask()
        if len(study.trials) == 2:
            study.tell(study.ask(), 0.5)
        return is_given

    runner._may_ask = and_another_driver_asks_first  # type: ignore[method-assign]
    runner.run()
    assert [t.state for t in study.trials] == [COMPLETE] * 3 + [TrialState.WAITING]
    runner_of(study, job_of("c"), n_trials=4).run()
    assert [t.state for t in study.trials] == [COMPLETE] * 4


def test_workers_that_ask_at_once_never_get_the_same_waiting_trial_from_sqlite(tmp_path: Path) -> None:
    for i in range(8):  # without one ask at a time it happens in every third
        study = optuna.create_study(storage=f"sqlite:///{tmp_path}/{i}.db")
        study.enqueue_trial({"x": 0.5})
        runner = runner_of(study, lambda trial: trial.suggest_float("x", 0, 1), n_jobs=3, n_trials=3)
        assert runner.run() is None
        assert [trial.state for trial in study.trials] == [COMPLETE] * 3


def test_a_long_trial_keeps_no_worker_from_the_next_trials(tmp_path: Path) -> None:
    """There is no barrier: while the first trial runs, the other worker runs all others."""
    study = journal_study(tmp_path)
    others_are_done = threading.Event()

    def job(trial: optuna.Trial) -> Outcome:
        if trial.number == 0:
            assert others_are_done.wait(timeout=30)
        elif trial.number == 7:
            others_are_done.set()
        return Outcome(value=1.0)

    runner = runner_of(study, job_of("c"), n_trials=8, n_jobs=2)
    runner.run_job = job
    assert runner.run() is None
    assert [trial.value for trial in study.trials] == [1.0] * 8
