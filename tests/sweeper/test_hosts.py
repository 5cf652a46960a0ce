"""Several hosts that share a storage and no disk: the same command on each. A process stands for each host."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from lightsweep.storage.storage import open_storage
from lightsweep.trial.identity import Owner
from tests.command import TINY, rows_of, start, the_folder
from tests.grpc_server import needs_grpc, proxy_server
from tests.postgres import empty_database, needs_postgres

pytestmark = pytest.mark.slow

N_TRIALS = 8
# Each process of the host, its workers included, imports it first.
NAMES_ITS_HOST = "import os, socket\nsocket.gethostname = lambda: os.environ['TEST_HOST']\n"
TWO_WORKERS = ("hydra/launcher=processes", "hydra.sweeper.n_jobs=2")
SEARCH = (
    "hparams_search=mlp",
    *TINY,
    "trainer.max_epochs=60",
    f"hydra.sweeper.n_trials={N_TRIALS}",
    "hydra.sweeper.heartbeat_interval=1",
    "hydra/sweeper/pruner=none",
)


@contextmanager
def journal(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path / "shared.journal")


@contextmanager
def postgresql(tmp_path: Path) -> Iterator[str]:
    with empty_database() as url:
        yield url


@contextmanager
def grpc(tmp_path: Path) -> Iterator[str]:
    with proxy_server(f"sqlite:///{tmp_path}/study.db") as url:
        yield url


def wait_for(condition: Callable[[], bool], *, timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("storage", "hosts", "workers"),
    [
        (journal, "ab", TWO_WORKERS),
        pytest.param(postgresql, "abcd", (), marks=needs_postgres),
        pytest.param(grpc, "abc", (), marks=[needs_grpc, pytest.mark.long]),
    ],
)
def test_hosts_share_a_study_and_take_over_the_trials_of_one_that_vanishes(
    storage: Callable[[Path], Iterator[str]], hosts: str, workers: tuple[str, ...], tmp_path: Path
) -> None:
    """The workers of a host that vanishes are alive here, so they requeue their trials themselves."""
    (tmp_path / "sitecustomize.py").write_text(NAMES_ITS_HOST)
    with ExitStack() as stack:
        url = stack.enter_context(storage(tmp_path))  # type: ignore[arg-type]
        drivers = {host: start_on(host, url, tmp_path, *workers) for host in hosts}
        study = opened(url, drivers["a"])

        def running_on(host: str) -> list[FrozenTrial]:
            running = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.RUNNING]
            return [trial for trial in running if (owner := Owner.of(trial)) and owner.driver.host == host]

        wait_for(lambda: any(trial.intermediate_values for trial in running_on("b")))
        drivers["b"].kill()
        lost = {trial.number for trial in running_on("b")}
        errors = {host: driver.communicate(timeout=240)[1] for host, driver in drivers.items()}
        assert all(driver.returncode == 0 for host, driver in drivers.items() if host != "b"), errors
        trials = study.get_trials()
    finished = [trial.number for trial in trials if trial.state == TrialState.COMPLETE]
    assert finished == list(range(N_TRIALS))
    assert len({tuple(trial.params.values()) for trial in trials[:N_TRIALS]}) == N_TRIALS  # no point was drawn twice
    if not workers:
        assert any(f"trial {number} is taken over: process" in "".join(errors.values()) for number in lost), errors
    check_folders({host: the_folder(tmp_path / host) for host in drivers}, lost=lost)


def start_on(host: str, url: str, tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    (tmp_path / host).mkdir()
    storage = f"hydra.sweeper.storage='{url}'"
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    return start(*SEARCH, storage, *arguments, cwd=tmp_path / host, PYTHONPATH=path, TEST_HOST=host)


def opened(url: str, driver: subprocess.Popen[str]) -> optuna.Study:
    """Return the study as soon as a driver has created it."""
    found: list[optuna.Study] = []

    def is_there() -> bool:
        assert driver.poll() is None, driver.communicate()
        try:
            found.append(optuna.load_study(study_name="mlp", storage=open_storage(url)))
        except KeyError:
            return False
        return True

    wait_for(is_there)
    return found[0]


def check_folders(folders: dict[str, Path], *, lost: set[int]) -> None:
    """Each trial ran on one host, those that were lost on two; each host has all results and the same model."""
    for number in range(N_TRIALS):
        ran_on = [host for host, folder in folders.items() if (folder / str(number)).is_dir()]
        assert len(ran_on) == 1 or number in lost, (number, ran_on)
    left = [folder for host, folder in folders.items() if host != "b"]
    tables = [rows_of(folder / "trials.csv") for folder in left]
    assert [int(row["number"]) for row in tables[0]] == list(range(N_TRIALS))
    assert all(table == tables[0] for table in tables)
    assert len({(folder / "best" / "metrics.json").read_text() for folder in left}) == 1
