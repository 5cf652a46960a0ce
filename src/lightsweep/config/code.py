"""The code that runs: versions of the main packages, and the git state of a folder."""

import importlib.metadata
import platform
import subprocess
from functools import lru_cache
from pathlib import Path

PACKAGES = ("lightsweep", "torch", "pytorch-lightning", "optuna", "hydra-core", "numpy", "scikit-learn")
GIT_TIMEOUT_S = 10


@lru_cache(maxsize=1)  # each takes a millisecond
def versions() -> dict[str, str]:
    """Return the versions of Python and of the main packages, "-" for one that is not installed."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "-"


def git_commit(folder: Path) -> str | None:
    """Return the commit that is checked out, None outside a git repository."""
    return git(folder, "rev-parse", "HEAD")


def git_diff(folder: Path) -> str | None:
    """Return the changes of tracked files since the commit, None outside a git repository."""
    return git(folder, "diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color")


def git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, None if it fails."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        ran = subprocess.run(command, capture_output=True, check=True, timeout=GIT_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return None
    return ran.stdout.decode(errors="replace").strip()
