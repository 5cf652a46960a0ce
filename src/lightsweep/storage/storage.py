"""The storage of a study: a journal file in the folder of the search, or any storage of Optuna."""

import re
import time
from functools import lru_cache
from pathlib import Path

from optuna.storages import BaseStorage, get_storage

from lightsweep.errors import ConfigError
from lightsweep.storage.journal import open_journal
from lightsweep.storage.password import SQLITE, masked, masked_in

JOURNAL = "study.journal"
# Database drivers by module, with the package to install.
DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
# psycopg names its error in English on every server.
TABLE_EXISTS = re.compile(r"already exists|DuplicateTable")
ATTEMPTS = 20
WAIT_S = 0.1


def storage_url(configured: str | None, *, sweep_dir: str, cwd: str = ".") -> str:
    """Return the path of the journal or the URL, with an absolute path, so that all processes open the same file.

    A relative path starts at `cwd`, where the search was started: with `hydra.job.chdir` jobs run elsewhere.
    """
    if configured is None:
        return str(Path(sweep_dir).absolute() / JOURNAL)
    if "://" not in configured:
        return str(Path(cwd).absolute() / configured)
    path = configured.removeprefix(SQLITE)
    if path != configured and not path.startswith(("/", "file:")) and ":memory:" not in path:
        return SQLITE + str(Path(cwd).absolute() / path)
    return configured


@lru_cache(maxsize=4)  # one connection per process: a worker reads only what is new for its next trial
def open_storage(url: str) -> BaseStorage:
    """Open a storage, or create its journal or database. Raise `ConfigError` if it can't be opened or written."""
    try:
        return _open_database(url) if "://" in url else open_journal(url)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  (every database driver has its own)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = masked_in(reason, url).rstrip(".")
        raise ConfigError(
            f"hydra.sweeper.storage is '{masked(url)}', which can't be opened or written: {reason}. {_way_out(error)}"
        ) from None


def _open_database(url: str) -> BaseStorage:
    """Open a database. Try again if another process created the same tables, which Optuna does not expect."""
    from sqlalchemy.exc import DatabaseError, IntegrityError

    for _ in range(ATTEMPTS - 1):
        try:
            return get_storage(url)
        except DatabaseError as error:
            if not isinstance(error, IntegrityError) and not TABLE_EXISTS.search(str(error)):
                raise
        time.sleep(WAIT_S)
    return get_storage(url)


def _way_out(error: Exception) -> str:
    missing = error.__cause__
    if isinstance(missing, ModuleNotFoundError) and missing.name:
        return f"pip install '{DRIVERS.get(missing.name, missing.name)}'"
    return "Give the path of a journal file in a folder that exists, or a URL such as sqlite:///study.db."
