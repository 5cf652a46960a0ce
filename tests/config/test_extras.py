"""A launcher, or the driver of a storage, whose extra is not installed: one message with the command."""

import sys
import tomllib

import pytest
from hydra.errors import MissingConfigException

from lightsweep.config.extras import LAUNCHERS, PLUGINS, command_for, command_for_module, missing_launcher
from lightsweep.config.suggestions import message_of
from tests.command import ROOT

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.fixture
def _nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for plugin in PLUGINS.values():
        monkeypatch.setitem(sys.modules, plugin, None)


@pytest.mark.usefixtures("_nothing_installed")
@pytest.mark.parametrize(
    ("launcher", "extra"),
    [("ray", "ray"), ("ray_aws", "ray"), ("submitit_local", "slurm"), ("submitit_slurm", "slurm")],
)
def test_a_launcher_that_is_not_installed_is_one_message_with_the_command(launcher: str, extra: str) -> None:
    command = f"pip install -c constraints.txt -e '.[{extra}]'"
    message = f"hydra/launcher={launcher} needs a plugin of Hydra that is not installed: {command}"
    assert missing_launcher(launcher) == message
    hydras = MissingConfigException("Could not find it", f"hydra/launcher/{launcher}", options=["basic", "joblib"])
    assert message_of(hydras) == message


@pytest.mark.usefixtures("_nothing_installed")
@pytest.mark.parametrize("launcher", ["basic", "joblib", "processes", "rai", "None"])
def test_other_launchers_need_no_extra(launcher: str) -> None:
    assert missing_launcher(launcher) is None


def test_a_mistyped_option_of_another_group_keeps_its_message() -> None:
    error = MissingConfigException("Could not find 'data/ray'", "data/ray", options=["digits", "arrays"])
    assert message_of(error).startswith("Could not find 'data/ray'")


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("psycopg", command_for("postgres")),
        ("psycopg2", f"{command_for('postgres')}; and begin the URL with postgresql+psycopg://"),
        ("pymysql", command_for("mysql")),
        ("MySQLdb", f"{command_for('mysql')}; and begin the URL with mysql+pymysql://"),
        ("grpc", command_for("grpc")),
        ("google.protobuf", command_for("grpc")),
        ("oracledb", "pip install 'oracledb'"),
    ],
)
def test_the_module_of_a_storage_is_installed_by_its_extra(module: str, command: str) -> None:
    assert command_for_module(module) == command


@pytest.mark.parametrize("extra", [*LAUNCHERS.values(), "postgres", "mysql", "grpc"])
def test_an_extra_that_a_message_names_exists_and_its_packages_are_pinned(extra: str) -> None:
    pinned = (ROOT / "constraints.txt").read_text().lower().splitlines()
    for requirement in EXTRAS[extra]:
        name = requirement.replace("[", ">").replace("=", ">").split(">")[0]
        assert any(line.startswith(f"{name}==") for line in pinned), requirement
