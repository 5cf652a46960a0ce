"""Where the study is kept: a journal file beside the trials, or any storage that Optuna knows."""

from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from optuna.storages import BaseStorage, JournalStorage, get_storage
from optuna.storages.journal import JournalFileBackend

from lightsweep.errors import ConfigError

JOURNAL = "study.journal"
SQLITE = "sqlite:///"


def storage_url(configured: str | None, *, sweep_dir: str) -> str:
    """Where the study lies, with an absolute path, so that every process of a search means the same file."""
    if configured is None:
        return str(Path(sweep_dir).absolute() / JOURNAL)
    if "://" not in configured:
        return str(Path(configured).absolute())
    if configured.startswith(SQLITE) and not configured.startswith(SQLITE + "/") and ":memory:" not in configured:
        return SQLITE + str(Path(configured.removeprefix(SQLITE)).absolute())
    return configured


@lru_cache(maxsize=4)  # one connection per process: a worker keeps what it has read for its next trial
def open_storage(url: str) -> BaseStorage:
    """Open a storage, creating the journal or database if need be.

    Raises `ConfigError` if it can't be reached or written.
    """
    try:
        if "://" not in url:
            with Path(url).open("ab"):
                pass
            return JournalStorage(JournalFileBackend(url))
        return get_storage(url)
    except Exception as error:  # noqa: BLE001  (every database driver has its own)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"hydra.sweeper.storage is '{masked(url)}', which can't be opened or written: {masked_in(reason, url)}."
            " Give the path of a journal file in a folder that exists, or a URL such as sqlite:///study.db."
        ) from None


def masked(url: str) -> str:
    """The URL as it may be shown: its password is replaced by ***."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    if not parts.password:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")))


def masked_in(text: str, url: str) -> str:
    """The text without the URL's password."""
    password = urlsplit(url).password if "://" in url else None
    return text.replace(password, "***") if password else text
