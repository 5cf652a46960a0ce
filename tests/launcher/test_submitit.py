"""The jobs of submitit: what is submitted, watched and ended. A real Slurm is in tests/slurm."""

import importlib.util
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from hydra.core.utils import JobReturn, JobStatus
from optuna.trial import TrialState

from lightsweep.errors import ConfigError
from lightsweep.launcher import slurm, submitted
from lightsweep.launcher.slurm import GONE, SlurmJobs, why_unusable
from lightsweep.launcher.submitit import JobLost, SubmititLauncher
from lightsweep.launcher.submitted import Exchange, Task, interrupted_job
from lightsweep.launcher.worker import pickled
from lightsweep.sweeper.config import DRIVER
from lightsweep.trial.outcome import Outcome
from tests.command import TINY, TRUST, start, study_in, succeed, the_folder

NOW = 0.0


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that puts a shell script in the place of one of Slurm's commands."""

    def put(name: str, script: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(slurm, "LOOK_S", 0.0)
    return put


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ("echo 1 RUNNING; echo 7 PENDING", None),
        ("echo 7 COMPLETING", None),
        ("echo 7 TIMEOUT", "TIMEOUT"),
        ("echo 7 OUT_OF_MEMORY", "OUT_OF_MEMORY"),
        ("echo 1 RUNNING", GONE),
        ("echo the controller is away >&2; exit 1", None),
    ],
)
def test_a_job_has_ended_if_slurm_says_so_or_no_longer_knows_it(script: str, end: str | None, commands: Any) -> None:
    commands("squeue", script)
    assert SlurmJobs("train").end_of("7", since=NOW) == end


def test_a_job_that_was_submitted_after_the_last_look_has_not_ended(commands: Any, monkeypatch: Any) -> None:
    commands("squeue", "echo 1 RUNNING")
    jobs = SlurmJobs("train")
    assert jobs.end_of("7", since=NOW) == GONE
    monkeypatch.setattr(slurm, "LOOK_S", 60.0)
    assert jobs.end_of("7", since=time.monotonic()) is None


def test_jobs_are_found_by_a_name_that_no_other_search_has(commands: Any, tmp_path: Path) -> None:
    for command in ("squeue", "scancel"):
        commands(command, f'echo "$@" >> {tmp_path}/calls')
    first, second = SlurmJobs("train"), SlurmJobs("train")
    first.cancel_queued()
    first.kill()
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 4
    assert all(f"--name={first.name}" in call for call in calls)
    assert first.name != second.name


@pytest.mark.parametrize(("timeout_min", "delay_s"), [(60, 120), (1, 30)])
def test_the_signal_before_the_time_limit_comes_after_the_job_has_begun(timeout_min: int, delay_s: int) -> None:
    given = {"timeout_min": timeout_min, "signal_delay_s": 120, "additional_parameters": {"mail-user": "me"}}
    params = SlurmJobs("train").params(given)
    assert params["signal_delay_s"] == delay_s
    assert params["additional_parameters"] == {"mail-user": "me", "no-requeue": True}


@pytest.mark.parametrize(("script", "reason"), [("exit 0", None), ("echo no socket >&2; exit 1", "no socket")])
def test_a_cluster_that_does_not_answer_is_a_reason(script: str, reason: str | None, commands: Any) -> None:
    commands("squeue", script)
    assert why_unusable() == reason


def test_a_machine_without_slurm_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert why_unusable() == "there is no squeue on this machine"


def test_a_task_is_either_taken_or_left(tmp_path: Path) -> None:
    task = Task(["a=1"], 3, {})
    given = Exchange(tmp_path, "7")
    assert given.give(1, task)
    assert not given.leave(1)
    assert given.leave(2)
    assert not given.give(2, task)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["7_trial_1.pkl", "7_trial_2.pkl"]


class Jobs:
    """Jobs of which the next ends as told."""

    def __init__(self) -> None:
        self.ends: dict[str, str | None] = {}
        self.cancelled = False

    def params(self, _: Any) -> dict[str, Any]:
        return {}

    def add(self, job: Any) -> None:
        self.ends.setdefault(job.job_id, None)

    def end_of(self, job_id: str, *, since: float) -> str | None:
        return self.ends[job_id]

    def cancel_queued(self) -> None:
        self.cancelled = True
        self.ends = dict.fromkeys(self.ends, "CANCELLED")

    def kill(self) -> None:
        self.ends = dict.fromkeys(self.ends, "CANCELLED")


class Launcher(SubmititLauncher):
    """Submits to no cluster; `submit` is called in place of submitit's."""

    def __init__(self, folder: Path, *, trials_per_job: int = 1) -> None:
        plugin = type("LocalLauncher", (SimpleNamespace,), {"__module__": "submitit"})(params={})
        super().__init__(plugin, trials_per_job=trials_per_job)
        self.jobs: Any = Jobs()
        self.folder = folder
        self.n_submitted = 0

    def _new_executor(self) -> Any:
        return SimpleNamespace(submit=lambda *args, **kwargs: self.submit(*args, **kwargs))

    def submit(self, *_: Any, **__: Any) -> Any:
        self.n_submitted += 1
        return SimpleNamespace(job_id=str(self.n_submitted), paths=SimpleNamespace(folder=self.folder))

    def returns(self, job_id: int, n: int, value: Any) -> None:
        job = JobReturn(overrides=[], status=JobStatus.COMPLETED)
        job.return_value = value
        Exchange(self.folder, str(job_id)).result(n).write_bytes(pickled(job))


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    monkeypatch.setenv(DRIVER, "null")
    return Launcher(tmp_path)


def test_a_result_is_returned_as_soon_as_it_is_there(launcher: Launcher) -> None:
    threading.Timer(0.3, launcher.returns, args=(1, 0, 0.5)).start()
    [job] = launcher.launch([["a=1"]], 3)
    assert job.return_value == 0.5


@pytest.mark.parametrize("end", ["TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "CANCELLED"])
def test_a_job_that_ended_without_a_result_is_lost_and_says_how(end: str, launcher: Launcher) -> None:
    launcher.jobs.ends = {"1": end}
    with pytest.raises(JobLost, match=f"its job 1 ended as {end}, see "):
        launcher.launch([["a=1"]], 3)


def test_a_preempted_job_is_no_fault_of_its_trial(launcher: Launcher) -> None:
    launcher.jobs.ends = {"1": "PREEMPTED"}
    [job] = launcher.launch([["a=1"]], 3)
    assert job.return_value == Outcome(interrupted=True)


def test_a_closed_queue_cancels_what_waits_and_takes_nothing_until_it_is_open(launcher: Launcher) -> None:
    threading.Timer(0.3, launcher.close_queue).start()
    assert [job.return_value.interrupted for job in launcher.launch([["a=1"], ["a=2"]], 3)] == [True, True]
    assert launcher.jobs.cancelled
    assert launcher.n_submitted == 1
    launcher.open_queue()
    launcher.returns(2, 0, 0.5)
    assert launcher.launch([["a=1"]], 3)[0].return_value == 0.5


def test_the_first_refused_job_ends_the_search_and_a_later_one_is_submitted_again(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lightsweep.launcher.submitit.RESUBMIT_S", 0.1)
    accept, refusals = launcher.submit, [RuntimeError("invalid partition")] * 2

    def submit(*args: Any, **kwargs: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return accept(*args, **kwargs)

    monkeypatch.setattr(launcher, "submit", submit)
    with pytest.raises(ConfigError, match=r"refuses the settings of hydra\.launcher: invalid partition"):
        launcher.launch([["a=1"]], 3)
    refusals.clear()
    for job_id in (1, 2):
        launcher.returns(job_id, 0, 0.5)
    launcher.launch([["a=1"]], 3)
    refusals += [RuntimeError("over the limit of jobs")] * 2
    launcher.launch([["a=1"]], 3)
    assert capsys.readouterr().err.count("tried again: over the limit of jobs") == 1


def test_a_job_gets_its_next_tasks_and_one_that_ended_meanwhile_is_replaced(tmp_path: Path, launcher: Launcher) -> None:
    launcher.trials_per_job = 3
    for job_id, n in ((1, 0), (1, 1), (2, 0)):
        launcher.returns(job_id, n, 10 * job_id + n)
    values = [launcher.launch([["a=1"]], number)[0].return_value for number in range(2)]
    assert (values, launcher.n_submitted) == ([10, 11], 1)
    launcher.jobs.ends["1"] = "COMPLETED"  # before it takes the third
    assert launcher.launch([["a=1"]], 2)[0].return_value == 20
    assert launcher.n_submitted == 2


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that serves tasks in this process; it returns the numbers of the trials that ran."""
    here = SimpleNamespace(paths=SimpleNamespace(folder=tmp_path), job_id="7", USR_SIG="USR2")
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(JobEnvironment=lambda: here))
    monkeypatch.setenv(DRIVER, "null")
    monkeypatch.setattr(submitted, "IDLE_S", 0.3)
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGUSR2)}
    ran: list[int] = []

    def serve(outcome: Outcome, n_tasks: int, driver: str = "null") -> list[int]:
        def launcher(overrides: list[str], key: str, number: int, job_id: str, singletons: Any) -> JobReturn:
            ran.append(number)
            job = interrupted_job(overrides)
            job.return_value = outcome
            return job

        submitted.serve(launcher, driver=driver, first=Task([], 0, {}), n_tasks=n_tasks)
        return ran

    yield serve
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


def test_a_job_runs_its_tasks_and_leaves_when_none_comes(served: Any, tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, "7")
    exchange.give(1, Task([], 5, {}))
    assert served(Outcome(value=0.5), 5) == [0, 5]
    assert exchange.result(1).exists()
    assert not exchange.give(2, Task([], 6, {}))


def test_a_job_whose_trial_was_interrupted_takes_no_other(served: Any, tmp_path: Path) -> None:
    Exchange(tmp_path, "7").give(1, Task([], 5, {}))
    assert served(Outcome(interrupted=True), 5) == [0]


def test_a_job_that_begins_after_its_driver_has_died_runs_nothing(served: Any) -> None:
    gone = {"host": os.uname().nodename, "pid": 2**22 + 1, "started": 0.0}
    assert served(Outcome(value=0.5), 1, driver=json.dumps(gone)) == []


LOCAL = ("hparams_search=mlp", *TINY, "hydra/launcher=submitit_local", "hydra.sweeper.n_jobs=2")
needs_submitit = pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="needs hydra-submitit-launcher: pip install -e '.[slurm]'"
)


@pytest.mark.slow
@needs_submitit
def test_a_local_job_runs_several_trials_and_the_refit_has_its_own(tmp_path: Path) -> None:
    options = ("hydra.sweeper.n_trials=6", "hydra.sweeper.trials_per_job=3", "trainer.max_epochs=2")
    succeed(*LOCAL, *options, cwd=tmp_path)
    assert (the_folder(tmp_path) / "best" / "model.pt").is_file()
    assert all(trial.state.is_finished() for trial in study_in(the_folder(tmp_path)).trials)


@pytest.mark.slow
@needs_submitit
def test_ctrl_c_of_a_terminal_ends_local_jobs_at_their_epoch_and_twice_at_once(tmp_path: Path) -> None:
    sleepy = ("model._target_=faulty.SleepyClassifier", "trainer.max_epochs=50", "hydra.sweeper.n_trials=2")
    for seconds, n_signals in (("1", 1), ("100", 2)):
        cwd = tmp_path / seconds
        cwd.mkdir()
        search = start(*LOCAL, *sleepy, cwd=cwd, SLEEP_S=seconds, **TRUST)
        deadline = time.monotonic() + 60
        while len(list(cwd.glob("outputs/mlp/*/*/train.log"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(5)
        for _ in range(n_signals):
            for process in [psutil.Process(search.pid), *psutil.Process(search.pid).children(recursive=True)]:
                process.send_signal(signal.SIGINT)
            time.sleep(1)
        search.communicate(timeout=30)
        assert search.returncode == 130
        trials = study_in(the_folder(cwd)).trials
        assert [trial.state for trial in trials] == [TrialState.WAITING] * 2
        assert any(trial.intermediate_values for trial in trials) == (n_signals == 1)
        assert [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(cwd)] == []
