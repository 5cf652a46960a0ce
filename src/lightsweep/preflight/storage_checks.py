"""Looks at where a search would write and at the study that is there already, without writing anything."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
from optuna.exceptions import OptunaError

from lightsweep.config.fingerprint import Fingerprint
from lightsweep.direction import Direction
from lightsweep.errors import USER_ERRORS, ConfigError
from lightsweep.search.folder import folder_fault
from lightsweep.search.study import check_changes, check_kind
from lightsweep.storage.password import SQLITE, masked, masked_in
from lightsweep.storage.storage import open_storage


def place_faults(folder: Path, url: str) -> list[str]:
    """What keeps the folder or the storage from being written, as far as can be seen on this machine."""
    faults = [folder_fault(folder)]
    path = _path_of(url)
    if path is not None and path.parent != folder:
        faults.append(_file_fault(path, url))
    return [fault for fault in faults if fault]


def study_faults(
    url: str, *, name: str, direction: Direction, fingerprint: Callable[[], Fingerprint], allow_changes: Sequence[str]
) -> list[str]:
    """Why this search can't go on with the study that the storage holds; nothing if there is none."""
    try:
        study = existing_study(url, name=name)
        if study is None:
            return []
        check_kind(study, direction=direction)
        if (now := _if_it_composes(fingerprint)) is not None:
            check_changes(study, now, allow_changes=allow_changes)
    except ConfigError as error:
        return [str(error)]
    return []


def _if_it_composes(fingerprint: Callable[[], Fingerprint]) -> Fingerprint | None:
    try:
        return fingerprint()
    except (*USER_ERRORS, ValueError):  # told already
        return None


def existing_study(url: str, *, name: str) -> optuna.Study | None:
    """The study of this name, None if there is none yet. Unlike `open_storage` this creates no file and no table.

    Raises `ConfigError` if the storage can't be read.
    """
    if not _holds_something(url):
        return None
    try:
        return optuna.load_study(study_name=name, storage=open_storage(url))
    except KeyError:  # no study has this name
        return None
    except OptunaError as error:
        raise ConfigError(f"hydra.sweeper.storage is '{masked(url)}', which can't be read: {error}") from None


def _holds_something(url: str) -> bool:
    path = _path_of(url)
    if path is not None and (not path.is_file() or path.stat().st_size == 0):
        return False
    if "://" not in url:
        return True
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = create_engine(url)
        try:
            return bool(inspect(engine).has_table("studies"))
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        reason = masked_in(str(error).splitlines()[0], url).rstrip(".")
        raise ConfigError(
            f"hydra.sweeper.storage is '{masked(url)}', which can't be reached: {reason}. Give the path of a journal"
            " file in a folder that exists, or a URL such as sqlite:///study.db."
        ) from None


def _path_of(url: str) -> Path | None:
    """The file of a journal or of SQLite."""
    if "://" not in url:
        return Path(url)
    if url.startswith(SQLITE) and ":memory:" not in url and not url.startswith(f"{SQLITE}file:"):
        return Path(url.removeprefix(SQLITE).split("?")[0])
    return None


def _file_fault(path: Path, url: str) -> str | None:
    if path.exists() and not path.is_file():
        reason = "it is not a file"
    elif not path.parent.is_dir():
        reason = f"there is no folder {path.parent}"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        reason = "it is not yours to write"
    else:
        return None
    return (
        f"hydra.sweeper.storage is '{masked(url)}', which can't be opened or written: {reason}."
        " Give the path of a journal file in a folder that exists, or a URL such as sqlite:///study.db."
    )
