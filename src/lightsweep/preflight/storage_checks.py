"""Check the output folder, the storage and an existing study without writing anything."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
from optuna.exceptions import OptunaError

from lightsweep.config.fingerprint import Fingerprint
from lightsweep.direction import Direction
from lightsweep.errors import USER_ERRORS, ConfigError
from lightsweep.report.results import TABLE
from lightsweep.search.folder import folder_problem
from lightsweep.search.study import check_changes, check_kind
from lightsweep.storage.grpc_proxy import is_grpc
from lightsweep.storage.password import SQLITE, masked, masked_in
from lightsweep.storage.storage import ALTERNATIVES, check_url, is_in_memory, open_storage, way_out


def location_problems(folder: Path, url: str) -> list[str]:
    """Return why this process can't write the output folder or the file of the storage."""
    problems = [folder_problem(folder), _url_problem(url)]
    path = _path_of(url)
    if path is not None and path.parent != folder:
        problems.append(_file_problem(path, url))
    if path is not None and path.parent == folder and (folder / TABLE).is_file() and not path.exists():
        problems.append(
            f"{folder} holds the trials of a search, but no {path.name}, so the search can't be resumed. Restore that"
            " file from a backup, or start a new search in its own folder, without resume and hydra.sweep.dir."
        )
    return [problem for problem in problems if problem]


def _url_problem(url: str) -> str | None:
    try:
        check_url(url)
    except ConfigError as error:
        return str(error)
    return None


def _path_of(url: str) -> Path | None:
    """Return the path of a journal or an SQLite file, None for another storage."""
    if "://" not in url:
        return Path(url)
    if url.startswith(SQLITE) and not is_in_memory(url) and not url.startswith(f"{SQLITE}file:"):
        return Path(url.removeprefix(SQLITE).split("?")[0])
    return None


def _file_problem(path: Path, url: str) -> str | None:
    if path.exists() and not path.is_file():
        reason = "it is not a file"
    elif not path.parent.is_dir():
        reason = f"there is no folder {path.parent}"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        reason = "you have no write permission"
    else:
        return None
    return f"hydra.sweeper.storage is '{masked(url)}', which can't be opened or written: {reason}. {ALTERNATIVES}"


def study_problems(
    url: str,
    *,
    name: str,
    directions: Sequence[Direction],
    fingerprint: Callable[[], Fingerprint],
    allow_changes: Sequence[str],
) -> list[str]:
    """Return why the search can't resume the study in the storage; nothing if there is no such study."""
    try:
        study = existing_study(url, name=name)
        if study is None:
            return []
        check_kind(study, directions=directions)
        try:
            now = fingerprint()
        except (*USER_ERRORS, ValueError):  # the config checks report that it can't be composed
            return []
        check_changes(study, now, allow_changes=allow_changes)
    except ConfigError as error:
        return [str(error)]
    return []


def existing_study(url: str, *, name: str) -> optuna.Study | None:
    """Return the study of this name, None if there is none. Unlike `open_storage`, creates no file and no table.

    Raises `ConfigError` if the storage can't be read.
    """
    check_url(url)
    if not _has_studies(url):
        return None
    try:
        return optuna.load_study(study_name=name, storage=open_storage(url))
    except KeyError:  # there is no study of this name
        return None
    except OptunaError as error:
        raise ConfigError(f"hydra.sweeper.storage is '{masked(url)}', which can't be read: {error}") from None


def _has_studies(url: str) -> bool:
    path = _path_of(url)
    if path is not None and (not path.is_file() or path.stat().st_size == 0):
        return False
    if "://" not in url or is_grpc(url):  # the server of a proxy has created its tables
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
            f"hydra.sweeper.storage is '{masked(url)}', which can't be reached: {reason}. {way_out(error)}"
        ) from None
