"""Searches on a real Ray: a session of their own, and a cluster of two nodes on this machine."""

import contextlib
import importlib.util
import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import optuna
import psutil
import pytest
from optuna.trial import FrozenTrial, TrialState

from tests.command import FIXED, ROOT, SMALL, TINY, TRUST, start, study_in, succeed, the_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None or importlib.util.find_spec("hydra_plugins.hydra_ray_launcher") is None,
        reason="needs hydra-ray-launcher: pip install -c constraints.txt -e '.[ray]'",
    ),
]

SEARCH = ("hparams_search=mlp", "hydra/launcher=ray", "hydra.sweeper.n_jobs=2")
LOCAL = {"RAY_ADDRESS": "local"}  # not a cluster that runs here by chance
SECONDS = 240  # for what takes some on an idle machine


class Cluster(NamedTuple):
    address: str
    env: dict[str, str]
    nodes: list[subprocess.Popen[bytes]]
    folder: Path


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes with one CPU each, which know nothing of a search. The path of Ray's sockets must be short."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16), "RAY_TMPDIR": folder}
        head = ["--head", f"--port={address.rpartition(':')[2]}", "--include-dashboard=false"]
        nodes: list[subprocess.Popen[bytes]] = []
        try:
            for which in (head, [f"--address={address}"]):
                nodes.append(ray_start(*which, log=Path(folder) / f"{len(nodes)}.log", **env))
            yield Cluster(address, env, nodes, Path(folder))
        finally:
            here = [child for node in nodes for child in processes_of(node.pid)]
            for node in nodes:
                node.terminate()
            for process in psutil.wait_procs(here, timeout=SECONDS)[1]:
                process.kill()
            for node in nodes:
                node.wait()


def ray_start(*arguments: str, log: Path, **env: str) -> subprocess.Popen[bytes]:
    """Start a node that ends with its process, and wait until it is there."""
    command = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
    with log.open("wb") as output:
        node = subprocess.Popen(
            [*command, *arguments], env={**os.environ, **env}, cwd=log.parent, stdout=output, stderr=subprocess.STDOUT
        )
    wait_until(lambda: "Ray runtime started" in log.read_text())
    return node


def processes_of(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return []


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def trials_in(cwd: Path) -> list[FrozenTrial]:
    try:
        return study_in(the_folder(cwd)).trials
    except (ValueError, KeyError):  # there is no study yet
        return []


def workers_in(cwd: Path, *, driver: int) -> list[int]:
    """Return the process ids of the workers that have taken up their trial."""
    running = [trial for trial in trials_in(cwd) if trial.state == TrialState.RUNNING]
    owners = [trial.user_attrs["owner"]["pid"] for trial in running if "owner" in trial.user_attrs]
    return [pid for pid in owners if pid != driver]


def files_with(text: str, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def nothing_is_left_in(cwd: Path) -> bool:
    """True if the processes of a session, which start in this folder, end soon."""
    here = [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(cwd)]
    return psutil.wait_procs(here, timeout=SECONDS)[1] == []


def test_a_cluster_runs_every_trial_at_the_first_try_knows_the_password_writes_it_nowhere_and_runs_on(
    cluster: Cluster, tmp_path: Path
) -> None:
    # SQLite ignores a parameter that it does not know, so this is a database with a secret and without a server.
    url = f"sqlite:///file:{tmp_path}/study.db?uri=true&token=s3cr3t-of-the-search"
    ran = succeed(
        *SEARCH,
        *SMALL,
        "hydra.sweeper.n_trials=5",
        "hydra.sweeper.max_retries=0",
        f"hydra.launcher.ray.init.address={cluster.address}",
        f"hydra.sweeper.storage='{url}'",
        cwd=tmp_path,
        **cluster.env,
    )
    assert "5 complete, 0 pruned, 0 failed" in ran.out
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
    owners = [trial.user_attrs["owner"]["pid"] for trial in optuna.load_study(study_name="mlp", storage=storage).trials]
    storage.engine.dispose()
    assert len(set(owners)) == 2  # one CPU each, so one worker on each node, which went from trial to trial
    assert (the_folder(tmp_path) / "best" / "model.pt").is_file()
    assert files_with("s3cr3t", tmp_path) == []
    assert files_with("s3cr3t", cluster.folder) == []
    assert list(cluster.folder.glob("ray/session_*/logs/*"))
    assert [node.poll() for node in cluster.nodes] == [None, None]


def test_the_trial_of_a_worker_that_is_killed_runs_again(cluster: Cluster, tmp_path: Path) -> None:
    address = f"hydra.launcher.ray.init.address={cluster.address}"
    long = ("trainer.max_epochs=100", "hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=3")
    process = start(*SEARCH, *TINY, *long, address, cwd=tmp_path, **cluster.env)
    wait_until(lambda: workers_in(tmp_path, driver=process.pid))
    os.kill(workers_in(tmp_path, driver=process.pid)[0], signal.SIGKILL)
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert "3 complete, 0 pruned, 0 failed" in out
    assert sum(trial.user_attrs.get("retries", 0) for trial in trials_in(tmp_path)) == 1
    assert [node.poll() for node in cluster.nodes] == [None, None]


def test_trials_share_the_cpus_of_a_session(tmp_path: Path) -> None:
    cpus = ("hydra.launcher.ray.init.num_cpus=2", "hydra.launcher.ray.remote.num_cpus=2")
    ran = succeed(*SEARCH, *SMALL, *cpus, "hydra.sweeper.n_trials=3", cwd=tmp_path, **LOCAL)
    assert "n_jobs is 2, but Ray has room for 1 at a time, with 2 CPU per trial" in ran.err
    folders = [the_folder(tmp_path) / str(number) for number in range(3)]
    times = [((f / ".hydra/config.yaml").stat().st_mtime, (f / "result.yaml").stat().st_mtime) for f in folders]
    times.sort()
    for (_, end), (begin, _) in itertools.pairwise(times):
        assert end <= begin


def test_trials_that_run_at_the_same_time_have_gpus_of_their_own(tmp_path: Path) -> None:
    # Ray takes the user's word for what the machine has.
    gpus = ("hydra.launcher.ray.init.num_gpus=2", "hydra.launcher.ray.remote.num_gpus=1")
    ran = succeed(
        *SEARCH,
        *TINY,
        *gpus,
        *FIXED,
        "trainer=cpu",
        "trainer.max_epochs=5",
        "model._target_=faulty.PlacedClassifier",
        "model.hidden_size=choice(8,16)",
        "hydra.launcher.ray.init.num_cpus=2",
        "hydra.sweeper.n_trials=4",
        cwd=tmp_path,
        **LOCAL,
        **TRUST,
    )
    assert "Ray has room" not in ran.err
    folder = the_folder(tmp_path)
    assert {(folder / str(number) / "gpus").read_text() for number in range(4)} == {"0", "1"}


@pytest.mark.parametrize("n_signals", [1, 2])
def test_ctrl_c_ends_trials_at_their_next_epoch_and_at_once_the_second_time_and_leaves_no_process(
    n_signals: int, tmp_path: Path
) -> None:
    endless = ("trainer.max_epochs=100000", "hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=3")
    data = TINY if n_signals == 1 else ("data=synthetic", "data.n_samples=200000")  # epochs of many seconds
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *SEARCH, *data, *endless],
        cwd=tmp_path,
        env={**os.environ, **LOCAL},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal sends the signal to the whole group
    )
    try:
        wait_until(lambda: len(workers_in(tmp_path, driver=process.pid)) == 2)
        if n_signals == 1:
            wait_until(lambda: all(trial.intermediate_values for trial in trials_in(tmp_path)))
        for _ in range(n_signals):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(1)
        _, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, err
    assert "SIGINT: the running trials end at their next epoch" in err
    assert "Traceback" not in err
    assert [trial.state for trial in trials_in(tmp_path)] == [TrialState.WAITING] * 2
    assert nothing_is_left_in(tmp_path)
