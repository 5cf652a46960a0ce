"""`grpc://host:port`, with a server of Optuna in front of an SQLite database."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import GrpcStorageProxy, RDBStorage

from lightsweep.errors import ConfigError
from lightsweep.preflight.storage_checks import existing_study
from lightsweep.storage import grpc_proxy
from lightsweep.storage.grpc_proxy import address_of, lost_server_as_error
from lightsweep.storage.storage import check_url, open_storage
from tests.command import SMALL, rows_of, succeed, the_folder
from tests.grpc_server import free_port, needs_grpc, proxy_server


@pytest.fixture(autouse=True)
def _forget_storages() -> Iterator[None]:
    yield
    open_storage.cache_clear()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The URL of a server that a process of its own runs."""
    with proxy_server(f"sqlite:///{tmp_path}/study.db") as url:
        yield url


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("grpc://localhost:13001", ("localhost", 13001)),
        ("grpc://db.example.org", ("db.example.org", 13000)),
        ("grpc://10.0.0.1:1", ("10.0.0.1", 1)),
        ("grpc://[::1]:13001", ("[::1]", 13001)),
    ],
)
def test_a_url_names_host_and_port(url: str, address: tuple[str, int]) -> None:
    assert address_of(url) == address
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "grpc://",
        "grpc://:13000",
        "grpc://host:port",
        "grpc://host:99999",
        "grpc://[::1",
        "grpc://host:1/db",
        "grpc://user:secret@host:1",
        "grpc://host:1?password=secret",
    ],
)
def test_any_other_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="not of the form grpc://host:port") as caught:
        check_url(url)
    assert "secret" not in str(caught.value)


@needs_grpc
def test_a_server_that_does_not_answer_is_one_error_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_proxy, "READY_TIMEOUT_S", 0.2)
    url = f"grpc://localhost:{free_port()}"
    with pytest.raises(ConfigError, match=f"is '{url}', but no gRPC server of Optuna answered there within 0.2 s"):
        open_storage(url)


@pytest.mark.parametrize("module", ["grpc", "google.protobuf"])
def test_a_missing_package_is_the_command_that_installs_it(module: str, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from lightsweep.storage.storage import open_storage\n"
        "open_storage('grpc://localhost:1')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    last = ran.stderr.strip().splitlines()[-1]
    assert last.endswith("needs grpcio and protobuf: pip install -c constraints.txt -e '.[grpc]'")


@needs_grpc
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_server_that_ends_is_one_error_whatever_optuna_raises_from_it() -> None:
    import grpc

    proxy = GrpcStorageProxy(port=free_port())

    @lost_server_as_error()
    def search() -> None:
        try:
            proxy.get_trial(0)
        except grpc.RpcError:
            raise UnboundLocalError from None  # as `study.optimize` does

    with pytest.raises(ConfigError, match=r"gRPC server .* failed: .*refused.* go on with resume=last"):
        search()


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(KeyError, match="study"), lost_server_as_error():
        raise KeyError("study")


@needs_grpc
@pytest.mark.slow
def test_workers_search_resume_and_are_pruned_through_a_server(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_proxy, "READY_TIMEOUT_S", 60.0)  # the server is just starting
    assert existing_study(server, name="mlp") is None
    workers = ("hydra/launcher=processes", "hydra.sweeper.n_jobs=2", f"hydra.sweeper.storage={server}")
    succeed("-m", "hparams_search=mlp", *SMALL, *workers, "hydra.sweeper.n_trials=3", cwd=tmp_path)
    pruner = ("hydra/sweeper/pruner=threshold", "hydra.sweeper.pruner.lower=2", "hydra.sweeper.pruner.n_warmup_steps=0")
    ran = succeed("resume=last", *pruner, "hydra.sweeper.n_trials=6", cwd=tmp_path)
    assert "optuna-dashboard" not in ran.out

    database = RDBStorage(f"sqlite:///{tmp_path}/study.db")
    trials = optuna.load_study(study_name="mlp", storage=database).trials
    database.engine.dispose()
    assert Counter(trial.state.name for trial in trials[:3]) <= Counter(COMPLETE=3, PRUNED=2)
    assert [trial.state.name for trial in trials[3:]] == ["PRUNED"] * 3
    assert len(rows_of(the_folder(tmp_path) / "trials.csv")) == 6
