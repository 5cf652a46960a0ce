"""The launcher `processes`: worker processes are reused, and a dead worker affects only its own job."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from hydra.core.utils import JobStatus
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from lightsweep.errors import ConfigError
from lightsweep.launcher.launcher import ProcessesLauncher
from lightsweep.launcher.pool import WorkerDied
from lightsweep.unofficial import error_of
from tests.command import ROOT
from tests.launcher.launched import launcher_in, text_of


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[ProcessesLauncher]:
    with launcher_in(tmp_path, "hydra.launcher.n_jobs=2") as launcher:
        yield launcher


def result(launcher: ProcessesLauncher, *overrides: str, number: int = 0) -> Any:
    [job] = launcher.launch([list(overrides)], initial_job_idx=number)
    return job.return_value


def error(launcher: ProcessesLauncher, *overrides: str) -> BaseException:
    [job] = launcher.launch([list(overrides)], initial_job_idx=0)
    assert job.status == JobStatus.FAILED
    return error_of(job)


def launch_in_thread(launcher: ProcessesLauncher, *overrides: str) -> Future[Any]:
    future: Future[Any] = Future()

    def launch() -> None:
        try:
            future.set_result(result(launcher, *overrides))
        except WorkerDied as died:
            future.set_exception(died)

    threading.Thread(target=launch, daemon=True).start()
    return future


def launch_sleeping(launcher: ProcessesLauncher, file: Path) -> tuple[Future[Any], int]:
    """Launch a sleeping job. Returns its future result and the process ID of its worker."""
    future = launch_in_thread(launcher, "do=sleep", f"arg={file}")
    return future, int(text_of(file))


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_jobs_of_one_launch_return_in_order_and_have_their_number_and_folder(
    launcher: ProcessesLauncher, tmp_path: Path
) -> None:
    seconds = [0.6, 0.1, 0.3, 0.0]
    jobs = launcher.launch([["do=wait", f"arg={s}"] for s in seconds], initial_job_idx=5)
    assert [job.return_value for job in jobs] == seconds
    assert [job.hydra_cfg.hydra.job.num for job in jobs if job.hydra_cfg] == [5, 6, 7, 8]
    assert OmegaConf.load(tmp_path / "jobs" / "7" / ".hydra" / "config.yaml").arg == 0.3


def test_consecutive_launches_reuse_one_process(launcher: ProcessesLauncher) -> None:
    pids = {result(launcher, number=n) for n in range(3)}
    assert len(pids) == 1
    assert os.getpid() not in pids


def test_concurrent_launches_use_one_process_each(launcher: ProcessesLauncher) -> None:
    barrier = threading.Barrier(2)

    def launch(first: int) -> list[int]:
        pids = []
        for n in range(first, first + 3):
            barrier.wait()
            pids.append(result(launcher, number=n))
        return pids

    with ThreadPoolExecutor(2) as threads:
        by_thread = list(threads.map(launch, [0, 10]))
    assert all(one != other for one, other in zip(*by_thread, strict=True))
    assert len(set(by_thread[0] + by_thread[1])) == 2


@pytest.mark.parametrize(("given", "threads"), [(None, "1"), ("3", "3")])
def test_a_worker_has_one_thread_unless_the_environment_says_otherwise(
    given: str | None, threads: str, launcher: ProcessesLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert result(launcher, "do=threads") == threads


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("do=kill", "its process was killed by SIGKILL"),
        ("do=leave", "its process ended with exit code 3"),
    ],
)
def test_a_dead_worker_fails_only_its_own_launch(
    how: str, message: str, launcher: ProcessesLauncher, tmp_path: Path
) -> None:
    sleeping, pid = launch_sleeping(launcher, tmp_path / "pid")
    with pytest.raises(WorkerDied, match=message):
        result(launcher, how)
    assert not sleeping.done()
    assert result(launcher) not in (pid, os.getpid())


def test_a_dead_worker_with_a_living_forked_child_is_noticed_and_the_child_is_killed(
    launcher: ProcessesLauncher, tmp_path: Path
) -> None:
    with pytest.raises(WorkerDied, match="its process ended with exit code 4"):
        result(launcher, "do=fork_and_die", f"arg={tmp_path / 'child'}")
    assert is_gone(int((tmp_path / "child").read_text()))


def test_other_jobs_of_a_launch_finish_after_a_worker_died(launcher: ProcessesLauncher, tmp_path: Path) -> None:
    with pytest.raises(WorkerDied):
        launcher.launch([["do=kill"], ["do=wait", "arg=0.5"], ["do=pid"]], initial_job_idx=0)
    assert {p.name for p in (tmp_path / "jobs").iterdir()} == {"0", "1", "2"}


def test_a_worker_that_is_killed_while_idle_is_replaced(launcher: ProcessesLauncher) -> None:
    pid = result(launcher)
    os.kill(pid, signal.SIGKILL)
    assert is_gone(pid)
    time.sleep(0.2)  # its other threads may exit a moment later
    assert result(launcher) != pid


@pytest.mark.parametrize(
    ("how", "type_", "message"),
    [
        ("do=exit", RuntimeError, r"it called sys.exit\(3\)"),
        ("do=interrupt", RuntimeError, "it raised KeyboardInterrupt"),
        ("do=raise", ValueError, "this does not work"),
        ("do=unpicklable", RuntimeError, "its result can't be sent: cannot pickle '_thread.lock' object"),
        ("do=unreadable", RuntimeError, "its result can't be read: invalid literal for int"),
    ],
)
def test_a_job_that_raises_or_returns_an_unpicklable_result_fails_and_its_worker_is_reused(
    how: str, type_: type[Exception], message: str, launcher: ProcessesLauncher
) -> None:
    pid = result(launcher)
    start = time.monotonic()
    failure = error(launcher, how)
    assert time.monotonic() - start < 5
    assert type(failure) is type_
    assert failure.__traceback__ is None
    with pytest.raises(type_, match=message):
        raise failure
    assert result(launcher) == pid


def test_a_config_that_can_not_be_composed_raises_hydras_error(launcher: ProcessesLauncher) -> None:
    with pytest.raises(ConfigCompositionException, match="Could not override 'nothing'"):
        result(launcher, "nothing=1")
    assert isinstance(result(launcher), int)


def test_a_worker_ignores_sigint(launcher: ProcessesLauncher) -> None:
    assert result(launcher, "do=sigint") == "alive"
    assert os.getpgid(result(launcher)) != os.getpgrp()  # not in the process group that gets a terminal's Ctrl-C


def test_abort_kills_all_workers_and_their_launches_raise(launcher: ProcessesLauncher, tmp_path: Path) -> None:
    futures, pids = zip(*(launch_sleeping(launcher, tmp_path / name) for name in ("one", "other")), strict=True)
    launcher.abort()
    for future in futures:
        with pytest.raises(WorkerDied, match="SIGKILL"):
            future.result(timeout=5)
    assert all(map(is_gone, pids))
    assert result(launcher) not in pids


class SlowToUnpickle:
    def __call__(self, cfg: Any) -> None: ...

    def __reduce__(self) -> tuple[Any, ...]:
        return time.sleep, (60,)


def test_abort_does_not_wait_for_a_worker_that_is_starting(launcher: ProcessesLauncher) -> None:
    launcher.pool.task_function = SlowToUnpickle()
    future = launch_in_thread(launcher)
    time.sleep(3)
    launcher.abort()
    with pytest.raises(WorkerDied, match="SIGKILL"):
        future.result(timeout=20)


@pytest.mark.parametrize("n_jobs", ["0", "-1"])
def test_an_invalid_number_of_jobs_is_a_config_error(n_jobs: str, tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=f"hydra.launcher.n_jobs is {n_jobs}; it must be"),
        launcher_in(tmp_path, f"hydra.launcher.n_jobs={n_jobs}"),
    ):
        pass


DRIVER = """
import sys, threading, time
from pathlib import Path
from tests.launcher.launched import launcher_in, text_of
folder = Path(sys.argv[1])
with launcher_in(folder) as launcher:
    abort = launcher.abort
    launcher.abort = lambda: None
    pids = [job.return_value for job in launcher.launch([["do=pid"]] * 2, initial_job_idx=0)]
    if sys.argv[2] == "busy":
        do = "sleep" if sys.argv[3] == "exits" else "nap"
        launch = lambda: launcher.launch([[f"do={do}", f"arg={folder / 'busy'}"]], initial_job_idx=9)
        threading.Thread(target=launch, daemon=True).start()
        pids.append(text_of(folder / "busy"))
        launcher.abort = abort  # an executor waits for its job, so leaving early requires an abort
    (folder / "pids").write_text(" ".join(map(str, pids)))
    if sys.argv[3] == "killed":
        time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "end"), [("idle", "exits"), ("busy", "exits"), ("idle", "killed"), ("busy", "killed")]
)
def test_workers_exit_with_their_driver(state: str, end: str, tmp_path: Path) -> None:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path), state, end], cwd=ROOT)
    pids = [int(pid) for pid in text_of(tmp_path / "pids").split()]
    if end == "killed":
        driver.kill()
    start = time.monotonic()
    assert driver.wait(timeout=30) == (-signal.SIGKILL if end == "killed" else 0)
    assert time.monotonic() - start < 5
    assert all(map(is_gone, pids))
