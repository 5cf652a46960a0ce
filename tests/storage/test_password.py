"""The password in the storage URL is in the environment of the search's processes, and nowhere else."""

import json
import os
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from urllib.parse import unquote

import cloudpickle  # launchers send jobs with it
import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from omegaconf import DictConfig, OmegaConf

from lightsweep.config.command_line import COMMAND, save_command
from lightsweep.errors import ConfigError
from lightsweep.storage.password import OVERRIDE, VARIABLE, hide_in_arguments, hide_password
from tests.command import TINY, Ran, succeed, the_folder, train
from tests.conftest import Compose

URL = "postgresql+psycopg://user:s3cret@host/db"
SECRET = "s3cret%2Bpa55"
SEARCH = ("hparams_search=mlp", *TINY, "trainer.max_epochs=1", "hydra.sweeper.n_trials=2")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(VARIABLE, "")  # so that the variable is restored
    monkeypatch.delenv(VARIABLE)
    state = Singleton.get_state()
    yield
    Singleton.set_state(state)


@pytest.mark.parametrize(
    ("argument", "url"),
    [
        (f"hydra.sweeper.storage={URL}", URL),
        (f"++hydra.sweeper.storage={URL}", URL),
        (f"hydra.sweeper.storage='{URL}'", URL),
        (f'hydra.sweeper.storage="{URL}"', URL),
        ("hydra.sweeper.storage='pg://u:it\\'s@h/d'", "pg://u:it's@h/d"),
        ("hydra.sweeper.storage=pg://u:a,b=[c@h/d", "pg://u:a,b=[c@h/d"),  # Hydra can't parse this, and would print it
        ("hydra.sweeper.storage=pg://h/d?user=u&password=x", "pg://h/d?user=u&password=x"),
        ("hydra.sweeper.storage=sqlite:////a/b.db?password=x", "sqlite:////a/b.db?password=x"),
    ],
)
def test_a_url_with_a_password_is_replaced_in_the_arguments(argument: str, url: str) -> None:
    assert hide_in_arguments(["a=b", argument]) == ["a=b", OVERRIDE]
    assert os.environ[VARIABLE] == url


@pytest.mark.parametrize(
    "argument",
    [
        "hydra.sweeper.storage=study.journal",
        "hydra.sweeper.storage=null",
        "hydra.sweeper.storage=sqlite:////a:b@c/study.db",
        "hydra.sweeper.storage=pg://user@host/db",
        "hydra.sweeper.storage=${oc.env:HOME}",
        "hydra.sweeper.storage=pg://user:${oc.env:HOME}@host/db",
        "hydra.sweeper.storage=${oc.env:NOT_SET,study.journal}",
        "hydra.sweeper.n_trials=3",
        f"other.storage={URL}",
    ],
)
def test_an_argument_without_a_password_is_kept(argument: str) -> None:
    assert hide_in_arguments([argument]) == [argument]
    assert VARIABLE not in os.environ


def test_the_error_for_a_missing_variable_names_it() -> None:
    with pytest.raises(ConfigError, match=r"variable LIGHTSWEEP_STORAGE is not set.*export LIGHTSWEEP_STORAGE='"):
        hide_in_arguments([OVERRIDE])
    assert hide_in_arguments([OVERRIDE, "hydra.sweeper.storage=a"]) == [OVERRIDE, "hydra.sweeper.storage=a"]
    assert hide_in_arguments([OVERRIDE, f"hydra.sweeper.storage={URL}"]) == [OVERRIDE, OVERRIDE]


@pytest.mark.parametrize("in_command", [True, False])
def test_jobs_get_the_variable_instead_of_the_url(in_command: bool, composed: Compose, tmp_path: Path) -> None:
    config = search_config(composed, URL, in_command=in_command)
    hide_password(config, URL)
    assert os.environ[VARIABLE] == config.hydra.sweeper.storage == URL
    assert OmegaConf.to_container(config.hydra.overrides.hydra) == [OVERRIDE]
    save_command(tmp_path, config=config)
    assert json.loads((tmp_path / COMMAND).read_text()) == ["hparams_search=mlp", OVERRIDE]
    sent = cloudpickle.dumps((config, Singleton.get_state()))
    for kept in (sent, OmegaConf.to_yaml(config).encode()):
        assert b"s3cret" not in kept


@pytest.mark.parametrize("storage", ["${oc.env:STUDY_URL}", "postgresql+psycopg://user:${oc.env:PASSWORD}@host/db"])
def test_the_users_own_interpolation_is_kept(storage: str, composed: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_URL", URL)
    monkeypatch.setenv("PASSWORD", "s3cret")
    config = search_config(composed, storage, in_command=True)
    before = OmegaConf.to_yaml(config)
    hide_password(config, config.hydra.sweeper.storage)
    assert OmegaConf.to_yaml(config) == before
    assert VARIABLE not in os.environ


@pytest.mark.parametrize("url", [None, "study.journal", "sqlite:////a:b@c/study.db", "pg://user@host/db"])
def test_a_storage_without_a_password_is_not_changed(url: str | None, composed: Compose) -> None:
    config = search_config(composed, url, in_command=True)
    before = OmegaConf.to_yaml(config)
    hide_password(config, url)
    assert OmegaConf.to_yaml(config) == before


@pytest.mark.parametrize(
    ("storage", "value"), [("${other}", URL), ("pg://u:${other}@h/d", "s3cret"), (URL, f"see {URL}")]
)
def test_a_password_in_another_key_is_rejected(storage: str, value: str, composed: Compose) -> None:
    config = search_config(composed, storage, in_command=False)
    OmegaConf.update(config, "other", value, force_add=True)
    with pytest.raises(ConfigError, match=r"^other holds the password of hydra.sweeper.storage") as caught:
        hide_password(config, config.hydra.sweeper.storage)
    assert "s3cret" not in str(caught.value)


def search_config(composed: Compose, storage: str | None, *, in_command: bool) -> DictConfig:
    config = deepcopy(composed("hparams_search=mlp"))
    HydraConfig.instance().set_config(config)
    OmegaConf.set_readonly(config.hydra, False)
    config.hydra.sweeper.storage = storage
    if in_command:
        config.hydra.overrides.hydra.append(f"hydra.sweeper.storage={storage}")
    HydraConfig.instance().set_config(config)
    return config


@pytest.mark.slow
def test_workers_neither_write_nor_print_the_password(tmp_path: Path) -> None:
    searched(tmp_path, "hydra/launcher=processes", "hydra.sweeper.n_jobs=2")


def searched(tmp_path: Path, *workers: str) -> str:
    """Run a search and return its URL, of which the password was neither written nor printed."""
    url = f"sqlite:///file:{tmp_path}/study.db?uri=true&password={SECRET}"
    ran = succeed(*SEARCH, *workers, f"hydra.sweeper.storage={url}", "logger=[csv,tensorboard]", cwd=tmp_path)
    assert "optuna-dashboard 'sqlite:///file:" in ran.out
    assert "password=***" in ran.out
    assert_nowhere(ran, tmp_path)
    hydra_yaml = the_folder(tmp_path) / "1" / ".hydra" / "hydra.yaml"
    assert OVERRIDE.partition("=")[2] in hydra_yaml.read_text()
    return url


@pytest.mark.slow
def test_a_search_neither_writes_nor_prints_the_password_and_can_be_resumed(tmp_path: Path) -> None:
    url = searched(tmp_path)
    folder = the_folder(tmp_path)
    resume = (f"resume={folder}", "hydra.sweeper.n_trials=3")
    rejected = train(*resume, cwd=tmp_path)
    assert rejected.code == 1
    assert "environment variable LIGHTSWEEP_STORAGE is not set" in rejected.err
    assert "Traceback" not in rejected.err
    assert_nowhere(succeed(*resume, cwd=tmp_path, LIGHTSWEEP_STORAGE=url), tmp_path)
    repeated = (f"resume={folder}", "hydra.sweeper.n_trials=4", f"hydra.sweeper.storage={url}")
    assert_nowhere(succeed(*repeated, cwd=tmp_path), tmp_path)
    assert sorted(path.name for path in folder.iterdir() if path.name.isdigit()) == ["0", "1", "2", "3"]


@pytest.mark.slow
def test_a_search_can_be_resumed_with_the_users_own_variable(tmp_path: Path) -> None:
    url = f"sqlite:///file:{tmp_path}/study.db?uri=true&password={SECRET}"
    ran = succeed(*SEARCH, "hydra.sweeper.storage='${oc.env:STUDY_URL}'", cwd=tmp_path, STUDY_URL=url)
    assert_nowhere(ran, tmp_path)
    folder = the_folder(tmp_path)
    rejected = train(f"resume={folder}", cwd=tmp_path)
    assert rejected.code == 1
    assert "environment variable STUDY_URL is not set" in rejected.err
    again = succeed(f"resume={folder}", "hydra.sweeper.n_trials=3", cwd=tmp_path, STUDY_URL=url)
    assert_nowhere(again, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://user:{}@127.0.0.1:1/db", "postgresql://user:{},[@127.0.0.1:p/db"]
)
@pytest.mark.parametrize("full_error", ["0", "1"])
def test_the_error_for_an_unreachable_storage_does_not_show_the_password(
    url: str, full_error: str, tmp_path: Path
) -> None:
    storage = f"hydra.sweeper.storage={url.format(SECRET)}"
    ran = train(*SEARCH, storage, "hydra.verbose=true", cwd=tmp_path, HYDRA_FULL_ERROR=full_error)
    assert ran.code == 1
    assert "can't be opened or written" in ran.err or "can't be read as a URL" in ran.err
    assert ("Traceback" in ran.err) == (full_error == "1")
    assert_nowhere(ran, tmp_path)


def assert_nowhere(ran: Ran, folder: Path) -> None:
    for spelling in (SECRET, unquote(SECRET)):
        assert spelling not in ran.out + ran.err
        for path in folder.rglob("*"):
            assert spelling not in str(path)
            assert not path.is_file() or spelling.encode() not in path.read_bytes(), path
