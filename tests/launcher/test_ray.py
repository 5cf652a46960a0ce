"""`hydra/launcher=ray`: one session for the whole search. Ray itself is played by the test, except in slow tests."""

import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest
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


class RayLauncher(SimpleNamespace):
    """The plugin's launcher, as far as a search knows it."""

    def __init__(self, **init: Any) -> None:
        super().__init__(ray_cfg=OmegaConf.create({"init": {"address": None, **init}, "remote": {}}))


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.delitem(sys.modules, "lightsweep.launcher.ray", raising=False)
    monkeypatch.setitem(sys.modules, "lightsweep.launcher.ray", importlib.import_module("lightsweep.launcher.ray"))
    monkeypatch.setenv(DRIVER, "null")  # to be taken back after the test
    register_driver()
    return fake


def session(**init: Any) -> Any:
    from lightsweep.search.jobs import session_of

    launcher: Any = RayLauncher(**init)
    return session_of(launcher)


def test_a_session_surrounds_the_jobs_and_ends_with_them_also_after_an_error(fake_ray: FakeRay) -> None:
    with session():
        assert fake_ray.calls == ["init"]
    assert fake_ray.calls == ["init", "shutdown"]
    with pytest.raises(OSError, match="in the search"), session():
        raise OSError("in the search")
    assert fake_ray.calls == ["init", "shutdown"] * 2


def test_the_workers_of_a_cluster_know_the_driver_beside_what_the_user_gives_them(fake_ray: FakeRay) -> None:
    with session(num_cpus=2, runtime_env={"pip": ["x"], "env_vars": {"A": "1"}}):
        pass
    assert fake_ray.settings["num_cpus"] == 2
    assert fake_ray.settings["runtime_env"]["pip"] == ["x"]
    variables = fake_ray.settings["runtime_env"]["env_vars"]
    assert variables["A"] == "1"
    assert json.loads(variables[DRIVER])["pid"] == os.getpid()


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
    reason="needs hydra-ray-launcher: pip install -e '.[ray]'",
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
