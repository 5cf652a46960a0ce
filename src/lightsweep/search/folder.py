"""The output folder of a search. Each search gets its own, even if two start within the same second."""

import contextlib
import itertools
import os
import shutil
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from lightsweep.errors import ConfigError


def reserve_folder(config: DictConfig) -> tuple[Path, bool]:
    """Create `hydra.sweep.dir` and set it, as an absolute path, for all jobs.

    Returns the folder and whether it is new. A folder from the command line may exist; otherwise a number is
    appended to a name that exists. Raises `ConfigError` if the folder can't be created.
    """
    wanted = Path(config.hydra.sweep.dir).absolute()
    is_given = any(override.startswith("hydra.sweep.dir=") for override in config.hydra.overrides.hydra)
    try:
        if is_given:
            wanted.mkdir(parents=True, exist_ok=True)
        folder = wanted if is_given else _new_folder(wanted)
    except OSError as error:
        raise ConfigError(cannot_create(wanted, error.strerror)) from None
    use_folder(config, folder)
    return folder, not is_given


def _new_folder(wanted: Path) -> Path:
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for n in itertools.count(1):
        candidate = wanted if n == 1 else wanted.with_name(f"{wanted.name}_{n}")
        with contextlib.suppress(FileExistsError):
            candidate.mkdir()
            return candidate
    raise AssertionError


def use_folder(config: DictConfig, folder: Path) -> None:
    """Run every job of this search below `folder`.

    Jobs are composed from overrides, so the folder is set there as well as in the config.
    """
    override = f"hydra.sweep.dir={QuotedString(str(folder), Quote.single).with_quotes()}"
    with read_write(config.hydra), open_dict(config.hydra):
        OmegaConf.update(config, "hydra.sweep.dir", str(folder))
        config.hydra.overrides.hydra.append(override)


def release_folder(folder: Path, *, is_new: bool) -> None:
    """Remove the folder of a rejected search if it is new or empty, and empty parents below the working directory."""
    if is_new:
        shutil.rmtree(folder)
    for path in (folder, *folder.parents):
        if path == Path.cwd() or not path.is_relative_to(Path.cwd()):
            return
        with contextlib.suppress(OSError):  # it is not empty, or does not exist
            path.rmdir()


def folder_problem(folder: Path) -> str | None:
    """Return why the folder can't be created or written, None if no reason is known. Writes nothing."""
    existing = nearest_existing(folder)
    if not existing.is_dir():
        return cannot_create(folder, f"{existing} is a file")
    if not os.access(existing, os.W_OK | os.X_OK):
        return cannot_create(folder, f"you have no write permission for {existing}")
    return None


def nearest_existing(path: Path) -> Path:
    """Return the path itself if it exists, otherwise its nearest parent that exists."""
    return next(p for p in (path, *path.parents) if p.exists())


def cannot_create(folder: Path, reason: str | None) -> str:
    return (
        f"hydra.sweep.dir is '{folder}', which can't be created: {reason}. Choose a writable folder with"
        " hydra.sweep.dir=..."
    )
