"""The folder of a search: its own, even if two start within the same second."""

import contextlib
import itertools
import os
import shutil
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from lightsweep.errors import ConfigError


def reserve_folder(config: DictConfig) -> tuple[Path, bool]:
    """Create `hydra.sweep.dir` and make it, as an absolute path, the one that every job gets.

    Gives the folder and whether it was created for this search alone: one that the command line names is used
    as it is, else a number is added to the name where that is taken. Raises `ConfigError` if it can't be created.
    """
    wanted = Path(config.hydra.sweep.dir).absolute()
    try:
        given = _is_given(config)
        folder = _created(wanted) if given else _created_alone(wanted)
    except OSError as error:
        raise ConfigError(cannot_create(wanted, error.strerror)) from None
    use_folder(config, folder)
    return folder, not given


def release_folder(folder: Path, *, is_new: bool) -> None:
    """Leave nothing of a search that was refused: its folder, if that is new or empty, and what is empty above it."""
    if is_new:
        shutil.rmtree(folder)
    for path in (folder, *folder.parents):
        if path == Path.cwd() or not path.is_relative_to(Path.cwd()):
            return
        with contextlib.suppress(OSError):  # it holds something, or is gone
            path.rmdir()


def folder_fault(folder: Path) -> str | None:
    """Why the folder could not be created or written, as far as can be seen without trying."""
    there = nearest_that_exists(folder)
    if not there.is_dir():
        return cannot_create(folder, f"{there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        return cannot_create(folder, f"{there} is not yours to write")
    return None


def nearest_that_exists(path: Path) -> Path:
    """The path itself if there is such a file or folder, else the nearest of its parents that is there."""
    return next(p for p in (path, *path.parents) if p.exists())


def cannot_create(folder: Path, reason: str | None) -> str:
    return (
        f"hydra.sweep.dir is '{folder}', which can't be created: {reason}. Choose a folder that can be"
        " written, with hydra.sweep.dir=..."
    )


def _is_given(config: DictConfig) -> bool:
    return any(override.startswith("hydra.sweep.dir=") for override in config.hydra.overrides.hydra)


def _created(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _created_alone(folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    for n in itertools.count(1):
        candidate = folder if n == 1 else folder.with_name(f"{folder.name}_{n}")
        try:
            candidate.mkdir()
        except FileExistsError:
            continue
        return candidate
    raise AssertionError


def use_folder(config: DictConfig, folder: Path) -> None:
    """Let every job of this search run below `folder`.

    Jobs are composed from the overrides, so the folder goes there and not only into the config.
    """
    override = f"hydra.sweep.dir={QuotedString(str(folder), Quote.single).with_quotes()}"
    with read_write(config.hydra), open_dict(config.hydra):
        OmegaConf.update(config, "hydra.sweep.dir", str(folder))
        config.hydra.overrides.hydra.append(override)
