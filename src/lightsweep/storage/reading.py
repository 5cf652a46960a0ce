"""Open a storage to read only: it creates no file and no table, takes no lock and repairs nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend

from lightsweep.errors import ConfigError
from lightsweep.storage.grpc_proxy import failure_of_server, is_grpc, open_proxy
from lightsweep.storage.password import SQLITE, masked, masked_in
from lightsweep.storage.storage import check_url, way_out

SQLITE_HEADER = b"SQLite format 3\0"
TABLES = frozenset({"studies", "version_info", "alembic_version"})  # `RDBStorage` writes into the last two if empty


class JournalReader(BaseJournalBackend):
    """A journal file that another process may be writing. A line without its end is not read yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                if number >= log_number_from and line.endswith(b"\n"):
                    yield json.loads(line)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise PermissionError(f"{self.path} was opened to read only")


def open_to_read(url: str) -> BaseStorage:
    """Open the storage at a URL, or the journal at a path. Raise `ConfigError` if it can't be read."""
    check_url(url)
    if is_grpc(url):
        return open_proxy(url)
    try:
        return _open_database(url) if "://" in url else JournalStorage(JournalReader(_journal(Path(url))))
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  (every database driver has its own)
        raise cannot_be_read(url, error) from None


def cannot_be_read(url: str, error: Exception) -> ConfigError:
    reason = failure_of_server(error) or (str(error).splitlines() or [type(error).__name__])[0]
    missing = f" {way_out(error)}" if isinstance(error, ModuleNotFoundError) else ""
    return ConfigError(f"'{masked(url)}' can't be read: {masked_in(reason, url).rstrip('.')}.{missing}")


def _journal(path: Path) -> Path:
    with path.open("rb") as file:
        beginning = file.read(len(SQLITE_HEADER))
    if beginning == SQLITE_HEADER:
        raise ConfigError(f"'{path}' is an SQLite database; give its URL: {SQLITE}{path}")
    if beginning and not beginning.startswith(b"{"):
        raise ConfigError(f"'{path}' is not a journal of Optuna.")
    return path


def _open_database(url: str) -> BaseStorage:
    from sqlalchemy import create_engine, inspect

    path = Path(url.removeprefix(SQLITE).removeprefix("file:").split("?")[0])
    if url.startswith(SQLITE) and not path.is_file():  # SQLAlchemy would create it
        raise ConfigError(f"'{masked(url)}' can't be read: there is no file {path}.")
    engine = create_engine(url)
    try:
        tables = inspect(engine).get_table_names()
    finally:
        engine.dispose()
    if not TABLES.issubset(tables):
        raise ConfigError(f"'{masked(url)}' holds no study of Optuna.")
    return RDBStorage(url, skip_table_creation=True)
