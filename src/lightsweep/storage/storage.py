"""Where the study is kept: a journal file beside the trials, or any storage that Optuna knows."""

from functools import lru_cache
from pathlib import Path

from optuna.storages import BaseStorage, get_storage

from lightsweep.errors import ConfigError
from lightsweep.storage.journal import open_journal
from lightsweep.storage.password import SQLITE, masked, masked_in

JOURNAL = "study.journal"
DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}  # to install


def storage_url(configured: str | None, *, sweep_dir: str, cwd: str = ".") -> str:
    """Where the study lies, with an absolute path, so that every process of a search means the same file.

    A relative one is meant from `cwd`, where the search was started: with `hydra.job.chdir` a job is elsewhere.
    """
    if configured is None:
        return str(Path(sweep_dir).absolute() / JOURNAL)
    if "://" not in configured:
        return str(Path(cwd).absolute() / configured)
    path = configured.removeprefix(SQLITE)
    if path != configured and not path.startswith(("/", "file:")) and ":memory:" not in path:
        return SQLITE + str(Path(cwd).absolute() / path)
    return configured


@lru_cache(maxsize=4)  # one connection per process: a worker keeps what it has read for its next trial
def open_storage(url: str) -> BaseStorage:
    """Open a storage, creating the journal or database if need be.

    Raises `ConfigError` if it can't be reached or written.
    """
    try:
        if "://" not in url:
            return open_journal(url)
        return get_storage(url)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  (every database driver has its own)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = masked_in(reason, url).rstrip(".")
        raise ConfigError(
            f"hydra.sweeper.storage is '{masked(url)}', which can't be opened or written: {reason}. {_way_out(error)}"
        ) from None


def _way_out(error: Exception) -> str:
    missing = error.__cause__
    if isinstance(missing, ModuleNotFoundError) and missing.name:
        return f"pip install '{DRIVERS.get(missing.name, missing.name)}'"
    return "Give the path of a journal file in a folder that exists, or a URL such as sqlite:///study.db."
