"""The extras that launchers and storages need, and the command that installs one."""

import importlib.util
from collections.abc import Mapping

LAUNCHERS = {"ray": "ray", "ray_aws": "ray", "submitit_local": "slurm", "submitit_slurm": "slurm"}
PLUGINS = {"ray": "hydra_plugins.hydra_ray_launcher", "slurm": "hydra_plugins.hydra_submitit_launcher"}
# Of the two drivers without an extra, SQLAlchemy chooses one if a URL names none.
MODULES: Mapping[str, str] = {
    "psycopg": "postgres",
    "psycopg2": "postgres",
    "pymysql": "mysql",
    "MySQLdb": "mysql",
    "grpc": "grpc",
    "google": "grpc",
}
SPELLINGS = {
    "psycopg2": "; and begin the URL with postgresql+psycopg://",
    "MySQLdb": "; and begin the URL with mysql+pymysql://",
}


def command_for(extra: str) -> str:
    return f"pip install -c constraints.txt -e '.[{extra}]'"


def missing_launcher(name: str) -> str | None:
    """Return what to do if `hydra/launcher=<name>` belongs to an extra that is not installed, None otherwise."""
    extra = LAUNCHERS.get(name)
    if extra is None or importlib.util.find_spec(PLUGINS[extra]) is not None:
        return None
    return f"hydra/launcher={name} needs a plugin of Hydra that is not installed: {command_for(extra)}"


def command_for_module(name: str) -> str:
    """Return the command that installs a module which a storage needs."""
    module = name.partition(".")[0]
    if module not in MODULES:
        return f"pip install '{module}'"
    return command_for(MODULES[module]) + SPELLINGS.get(module, "")
