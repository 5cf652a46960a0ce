"""Where the study is kept: a journal file beside the trials, or any storage that Optuna knows."""

import re
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, unquote_plus

from optuna.storages import BaseStorage, get_storage

from lightsweep.errors import ConfigError
from lightsweep.sweeper.journal import open_journal

JOURNAL = "study.journal"
SQLITE = "sqlite:///"
PASSWORD_IN_QUERY = re.compile(r"([?&][^=&]*pass[^=&]*=)([^&]*)", re.IGNORECASE)


def storage_url(configured: str | None, *, sweep_dir: str, cwd: str = ".") -> str:
    """Where the study lies, with an absolute path, so that every process of a search means the same file.

    A relative one is meant from `cwd`, where the search was started: with `hydra.job.chdir` a job is elsewhere.
    """
    if configured is None:
        return str(Path(sweep_dir).absolute() / JOURNAL)
    if "://" not in configured:
        return str(Path(cwd).absolute() / configured)
    if configured.startswith(SQLITE) and not configured.startswith(SQLITE + "/") and ":memory:" not in configured:
        return SQLITE + str(Path(cwd).absolute() / configured.removeprefix(SQLITE))
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
            f"hydra.sweeper.storage is '{masked(url)}', which can't be opened or written: {reason}."
            " Give the path of a journal file in a folder that exists, or a URL such as sqlite:///study.db."
        ) from None


def masked(url: str) -> str:
    """The URL as it may be shown: its password is replaced by ***."""
    if "://" not in url or url.startswith(SQLITE):
        return url
    scheme, rest = url.split("://", 1)
    credentials, at, host = rest.rpartition("@")  # a password may hold any other sign
    if ":" in credentials:
        credentials = credentials.split(":", 1)[0] + ":***"
    return PASSWORD_IN_QUERY.sub(r"\1***", f"{scheme}://{credentials}{at}{host}")


def masked_in(text: str, url: str) -> str:
    """The text without the URL's passwords, as they were written or decoded."""
    _, _, rest = url.partition("://")
    credentials, _, _ = rest.rpartition("@")
    passwords = [credentials.partition(":")[2], *(match[2] for match in PASSWORD_IN_QUERY.finditer(rest))]
    for password in filter(None, passwords):
        for spelling in (password, unquote(password), unquote_plus(password)):
            text = text.replace(spelling, "***")
    return text
