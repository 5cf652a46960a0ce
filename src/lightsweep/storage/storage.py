"""The storage of a study: a journal file in the folder of the search, or any storage of Optuna."""

import re
import time
from functools import lru_cache
from pathlib import Path

from optuna.storages import BaseStorage, get_storage

from lightsweep.config.extras import command_for_module
from lightsweep.errors import ConfigError
from lightsweep.storage.grpc_proxy import address_of, is_grpc, open_proxy
from lightsweep.storage.journal import open_journal
from lightsweep.storage.password import SQLITE, masked, masked_in, passwords

JOURNAL = "study.journal"
ALTERNATIVES = "Give the path of a journal file in a folder that exists, or a URL such as sqlite:///study.db."
IN_MEMORY = re.compile(r"sqlite(\+\w+)?:(//|///((file:)?:memory:|file:.*[?&]mode=memory\b.*)?)(\?.*)?")
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
    if path != configured and not path.startswith(("/", "file:")) and not is_in_memory(configured):
        return SQLITE + str(Path(cwd).absolute() / path)
    return configured


def is_in_memory(url: str) -> bool:
    """Return whether the URL is that of an SQLite database without a file."""
    return IN_MEMORY.fullmatch(url) is not None


def check_url(url: str) -> None:
    """Raise `ConfigError` if a storage URL can't be read, or names a storage that ends with its process."""
    if is_in_memory(url):
        raise ConfigError(
            f"hydra.sweeper.storage is '{url}', a database in memory: the study would be lost, and workers would not"
            " see it. Leave it out, or give a file such as sqlite:///study.db."
        )
    if is_grpc(url):
        address_of(url)
    elif "://" in url and not _is_readable(url):
        spelling = "In a password write @ as %40, : as %3A and / as %2F, and the port as a number."
        raise ConfigError(
            f"hydra.sweeper.storage is '{masked(url)}', which can't be read as a URL."
            f" {spelling if passwords(url) else ALTERNATIVES}"
        )


def _is_readable(url: str) -> bool:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        return False
    # The first @ ends a password for SQLAlchemy. The rest of it is then taken for the host and the database.
    return parts.password is None or "@" not in f"{parts.host}{parts.database}"


@lru_cache(maxsize=4)  # one connection per process: a worker reads only what is new for its next trial
def open_storage(url: str) -> BaseStorage:
    """Open a storage, or create its journal or database. Raise `ConfigError` if it can't be opened or written."""
    try:
        if is_grpc(url):
            return open_proxy(url)
        return _open_database(url) if "://" in url else open_journal(url)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  (every database driver has its own)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = masked_in(reason, url).rstrip(".")
        raise ConfigError(
            f"hydra.sweeper.storage is '{masked(url)}', which can't be opened or written: {reason}. {way_out(error)}"
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


def way_out(error: Exception) -> str:
    """Return what to do about an error of a storage: install a module, or choose another storage."""
    missing = error if isinstance(error, ModuleNotFoundError) else error.__cause__
    if isinstance(missing, ModuleNotFoundError) and missing.name:
        return command_for_module(missing.name)
    return ALTERNATIVES
