"""`hydra/launcher=ray`: one session for the whole search. Ray itself is played by the test, except in slow tests."""

import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import cloudpickle
import psutil
import pytest
from hydra.core.utils import JobReturn
from omegaconf import OmegaConf

from lightsweep.errors import ConfigError
from lightsweep.interrupt import Interrupted
from lightsweep.sweeper.config import DRIVER
from lightsweep.trial.driver import register_driver
from tests.command import SMALL, succeed, the_folder


class FakeRay(ModuleType):
    """Records what it is called with; `on_init` is run while it starts."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.calls: list[str] = []
        self.settings: dict[str, Any] = {}
        self.cluster = [{"Alive": True, "Resources": {"CPU": 8.0}}]
        self.seconds_per_job = 0.0
        self.seconds_to_start = 0.0
        self.actors: list[Actor] = []
        self.room = 100
        self.on_init: Callable[[], Any] = lambda: None

    def is_initialized(self) -> bool:
        return self.calls[-1:] == ["init"]

    def init(self, **settings: Any) -> None:
        self.settings = settings
        signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(signum))
        self.on_init()
        self.calls.append("init")

    def shutdown(self) -> None:
        self.calls.append("shutdown")

    def nodes(self) -> list[dict[str, Any]]:
        return self.cluster

    def remote(self, **options: Any) -> Any:
        """Return a decorator for the class of an actor."""
        if "max_retries" in options:
            raise ValueError("Invalid option keyword max_retries for actors")
        self.options = options
        return lambda _: SimpleNamespace(remote=self.start)

    def start(self, *arguments: Any) -> "Actor":
        actor = Actor(arguments, has_room=len(self.living()) < self.room)
        self.actors.append(actor)
        return actor

    def living(self) -> list["Actor"]:
        return [actor for actor in self.actors if not actor.killed.is_set()]

    def wait(self, started: list["Actor"], *, timeout: float) -> tuple[list["Actor"], list["Actor"]]:
        [actor] = started
        is_ready = actor.has_room and time.monotonic() >= actor.begun + self.seconds_to_start
        if is_ready or actor.killed.wait(timeout=timeout / 10):
            return started, []
        return [], started

    def get(self, job: "Job") -> bytes:
        if job.actor.killed.wait(timeout=self.seconds_per_job):
            raise RuntimeError("the worker was killed")
        return cloudpickle.dumps(JobReturn(overrides=job.overrides))  # type: ignore[no-any-return]

    def kill(self, actor: "Actor") -> None:
        actor.killed.set()


class Actor:
    """A worker; the first ones find room, and later ones wait for ever."""

    def __init__(self, arguments: tuple[Any, ...], *, has_room: bool) -> None:
        self.arguments = arguments
        self.has_room = has_room
        self.begun = time.monotonic()
        self.killed = threading.Event()
        self.jobs: list[Job] = []
        self.run = SimpleNamespace(remote=self._run)
        self.is_ready = SimpleNamespace(remote=lambda: self)

    def _run(self, number: int, overrides: list[str]) -> "Job":
        self.jobs.append(Job(self, number, overrides))
        return self.jobs[-1]


class Job(NamedTuple):
    actor: Actor
    number: int
    overrides: list[str]


class RayLauncher(SimpleNamespace):
    """The plugin's launcher, as far as a search knows it."""

    def __init__(self, *, remote: dict[str, Any], storage: str | None, n_jobs: int, **init: Any) -> None:
        super().__init__(
            ray_cfg=OmegaConf.create({"init": {"address": None, **init}, "remote": remote}),
            hydra_context=None,
            task_function=lambda _: None,
            config=OmegaConf.create(
                {"hydra": {"sweeper": {"storage": storage, "n_jobs": n_jobs}, "job": {"name": "train"}}}
            ),
        )


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.delitem(sys.modules, "lightsweep.launcher.ray", raising=False)
    monkeypatch.setitem(sys.modules, "lightsweep.launcher.ray", importlib.import_module("lightsweep.launcher.ray"))
    monkeypatch.setenv(DRIVER, "null")  # to be taken back after the test
    register_driver()
    return fake


def session(*, remote: dict[str, Any] | None = None, storage: str | None = None, n_jobs: int = 1, **init: Any) -> Any:
    from lightsweep.search.jobs import session_of

    launcher: Any = RayLauncher(remote=remote or {}, storage=storage, n_jobs=n_jobs, **init)
    return session_of(launcher)


def test_a_session_surrounds_the_jobs_and_ends_with_them_also_after_an_error(fake_ray: FakeRay) -> None:
    with session():
        assert fake_ray.calls == ["init"]
    assert fake_ray.calls == ["init", "shutdown"]
    with pytest.raises(OSError, match="in the search"), session():
        raise OSError("in the search")
    assert fake_ray.calls == ["init", "shutdown"] * 2


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        (None, {}),
        ("study.journal", {}),
        ("${oc.env:LIGHTSWEEP_STORAGE}", {"LIGHTSWEEP_STORAGE": "pg://me:secret@host/db"}),
        ("pg://me:${oc.env:PASSWORD}@${oc.env: HOST, localhost}/db", {"PASSWORD": "secret", "HOST": "db1"}),
        ("${oc.env:NOT_SET,study.journal}", {}),
    ],
)
def test_a_worker_gets_the_driver_and_the_variables_of_the_storage_and_ray_is_told_neither(
    storage: str | None, expected: dict[str, str], fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LIGHTSWEEP_STORAGE": "pg://me:secret@host/db", "PASSWORD": "secret", "HOST": "db1"}.items():
        monkeypatch.setenv(name, value)
    init = {"num_cpus": 2, "runtime_env": {"pip": ["x"]}}
    with session(storage=storage, remote={"num_gpus": 1}, **init) as launcher:
        [returned] = launcher.launch([["a=1"]], initial_job_idx=7)
    assert returned.overrides == ["a=1"]
    assert fake_ray.settings == {"address": None, **init}
    assert fake_ray.options == {"num_cpus": 1, "num_gpus": 1}
    [actor] = fake_ray.actors
    _, variables = actor.arguments
    assert json.loads(variables.pop(DRIVER))["pid"] == os.getpid()
    assert variables == expected
    assert [(job.number, job.overrides) for job in actor.jobs] == [(7, ["a=1"])]


def test_the_jobs_run_in_the_folder_that_is_chosen_after_the_session_has_begun(fake_ray: FakeRay) -> None:
    with session() as launcher:
        launcher.config.hydra.sweep = {"dir": "/search_2"}
        launcher.launch([["a=1"]], initial_job_idx=0)
    app = cloudpickle.loads(fake_ray.actors[0].arguments[0])
    assert app.config.hydra.sweep.dir == "/search_2"


def test_a_worker_runs_one_job_after_the_other_and_a_lost_one_is_replaced(fake_ray: FakeRay) -> None:
    with session() as launcher:
        for number in range(3):
            launcher.launch([["a=1"]], initial_job_idx=number)
        fake_ray.actors[0].killed.set()
        with pytest.raises(RuntimeError, match="the worker was killed"):
            launcher.launch([["a=1"]], initial_job_idx=3)
        launcher.launch([["a=1"]], initial_job_idx=4)
    assert [[job.number for job in actor.jobs] for actor in fake_ray.actors] == [[0, 1, 2, 3], [4]]


def test_a_worker_that_is_starting_is_waited_for_although_another_one_is_idle(fake_ray: FakeRay) -> None:
    with session() as launcher, ThreadPoolExecutor(2) as threads:
        launcher.launch([["a=1"]], initial_job_idx=0)
        fake_ray.seconds_per_job = fake_ray.seconds_to_start = 0.3
        launches = [threads.submit(launcher.launch, [["a=1"]], initial_job_idx=n) for n in (1, 2)]
        assert all(launch.result(timeout=30) for launch in launches)
    assert [len(actor.jobs) for actor in fake_ray.actors] == [2, 1]
    assert len(fake_ray.living()) == 2


def test_jobs_that_find_no_room_for_a_worker_run_in_one_that_becomes_idle(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightsweep.launcher.ray.SECONDS_TO_START", 0)
    fake_ray.room = 1
    fake_ray.seconds_per_job = 0.05
    with session() as launcher, ThreadPoolExecutor(3) as threads:
        launches = [threads.submit(launcher.launch, [["a=1"]], initial_job_idx=n) for n in range(3)]
        assert all(launch.result(timeout=30) for launch in launches)
    assert sorted(job.number for job in fake_ray.actors[0].jobs) == [0, 1, 2]
    assert len(fake_ray.living()) == 1


def test_options_that_ray_refuses_for_a_worker_are_one_message(fake_ray: FakeRay) -> None:
    with (
        session(remote={"max_retries": 3}) as launcher,
        pytest.raises(ConfigError, match=r"hydra\.launcher\.ray\.remote is .*max_retries.* refuses"),
    ):
        launcher.launch([["a=1"]], initial_job_idx=0)


def test_abort_ends_the_running_jobs_while_ray_runs_on_and_refuses_later_ones(fake_ray: FakeRay) -> None:
    fake_ray.seconds_per_job = 60
    with session() as launcher, ThreadPoolExecutor(2) as threads:
        launches = [threads.submit(launcher.launch, [["a=1"]], initial_job_idx=n) for n in range(2)]
        deadline = time.monotonic() + 30
        while len(fake_ray.actors) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        launcher.abort()
        for launch in launches:
            with pytest.raises(RuntimeError, match="the worker was killed"):
                launch.result(timeout=30)
        assert fake_ray.calls == ["init"]
        with pytest.raises(RuntimeError, match="the search was stopped"):
            launcher.launch([["a=1"]], initial_job_idx=2)


@pytest.mark.parametrize(
    ("nodes", "remote", "n_jobs", "n_slots"),
    [
        ([{"CPU": 2.0}], {}, 2, None),
        ([{"CPU": 2.0}], {"num_cpus": 1, "num_gpus": 0}, 3, 2),
        ([{"CPU": 1.0}, {"CPU": 1.0}], {"num_cpus": 2}, 1, 0),  # a trial runs on one node
        ([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}], {"num_gpus": 1}, 2, 1),
        ([{"CPU": 8.0, "GPU": 1.0}], {"num_gpus": 0.5}, 2, None),
        ([{"CPU": 8.0}], {"resources": {"tpu": 1}}, 1, 0),
        ([{"CPU": 1.0}], {"num_cpus": 0}, 9, None),
    ],
)
def test_a_warning_says_that_trials_must_wait_for_room(
    nodes: list[dict[str, float]],
    remote: dict[str, Any],
    n_jobs: int,
    n_slots: int | None,
    fake_ray: FakeRay,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake_ray.cluster = [{"Alive": True, "Resources": node} for node in nodes]
    fake_ray.cluster.append({"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}})
    with session(remote=remote, n_jobs=n_jobs):
        pass
    warning = capsys.readouterr().err
    if n_slots is None:
        assert warning == ""
    else:
        assert f"n_jobs is {n_jobs}, but Ray has room for {n_slots} at a time" in warning


def test_a_session_of_the_caller_is_used_and_left_running(fake_ray: FakeRay) -> None:
    fake_ray.init()
    with session():
        pass
    assert fake_ray.calls == ["init"]


@pytest.mark.parametrize(
    "error",
    [ConnectionError("no cluster there"), RuntimeError("unknown key"), AssertionError("CPU (str): x"), OSError()],
)
def test_settings_with_which_ray_does_not_start_are_one_message(fake_ray: FakeRay, error: Exception) -> None:
    def refuse() -> None:
        raise error

    fake_ray.on_init = refuse
    with pytest.raises(
        ConfigError, match=r"hydra\.launcher\.ray\.init is .*'num_cpus': 'x'.*does not start: "
    ) as caught:
        session(num_cpus="x").__enter__()
    assert str(error) in str(caught.value)
    assert fake_ray.calls == ["shutdown"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_ray_starts_leaves_nothing_and_ray_keeps_no_handler(
    fake_ray: FakeRay, signum: signal.Signals
) -> None:
    former = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    fake_ray.on_init = lambda: os.kill(os.getpid(), signum)
    with pytest.raises(Interrupted, match=signum.name):
        session().__enter__()
    assert fake_ray.calls[-1] == "shutdown"
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == former


def test_nothing_of_ray_is_imported_for_another_launcher() -> None:
    code = """
import sys
from lightsweep.search.jobs import session_of
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
with session_of(BasicLauncher()):
    assert not {"ray", "lightsweep.launcher.ray"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or importlib.util.find_spec("hydra_plugins.hydra_ray_launcher") is None,
    reason="needs hydra-ray-launcher: pip install -c constraints.txt -e '.[ray]'",
)
def test_two_jobs_at_a_time_and_the_refit_run_in_one_session_that_leaves_no_process(tmp_path: Path) -> None:
    ray = ("hydra/launcher=ray", "hydra.sweeper.n_jobs=2")
    ran = succeed(
        "-m", "hparams_search=mlp", *ray, *SMALL, "hydra.sweeper.n_trials=4", cwd=tmp_path, RAY_ADDRESS="local"
    )
    assert ran.err.count("Started a local Ray instance") == 1
    assert (the_folder(tmp_path) / "best" / "model.pt").is_file()
    here = [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(tmp_path)]
    _, left = psutil.wait_procs(here, timeout=30)  # Ray's processes start in this folder, and end soon after it
    assert left == []
