"""What a search measures, written down at its start, so that a later start can tell whether it measures the same."""

import hashlib
import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightsweep.config.targets import current_target
from lightsweep.errors import aligned

SEARCHED = "searched: "
PACKAGES = ("lightsweep", "torch", "pytorch-lightning", "optuna", "hydra-core", "numpy", "scikit-learn")

# What may change within one search: how it is run, shown and stored, but not what a trial's value means.
HARMLESS = (
    "hydra",
    "logger",
    "verbose",
    "threads",
    "refit",
    "export",
    "data.cache",
    "data.data_home",
    "data.relative_to",
    "model.batches_per_step",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.default_root_dir",
    "trainer.enable_model_summary",
    "trainer.enable_progress_bar",
    "trainer.log_every_n_steps",
    "trainer.num_sanity_val_steps",
    "trainer.plugins",
    "callbacks.checkpoint.dirpath",
    "callbacks.last_checkpoint",
)


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """`strict` must not change within a search unless the user allows it; a change of `informational` is only said.

    Keys are config paths; the value of a searched parameter begins with `SEARCHED`.
    """

    strict: dict[str, str]
    informational: dict[str, str]

    @classmethod
    def of(cls, configs: Sequence[DictConfig], *, space: Mapping[str, str], direction: str) -> "Fingerprint":
        """Take it from the configs that show each choice of the space; the first is what all others share."""
        strict: dict[str, str] = {}
        informational = environment()
        for config in reversed(configs):  # the first wins where a value differs by the choice of a group
            for key, value in _leaves(config):
                if is_harmless(key):
                    continue
                if (path := _file(value)) is None:
                    strict[key] = str(value)
                else:
                    strict[key], informational[f"{key} (path)"] = _content_of(path), str(path)
        strict |= {name.lstrip("+"): f"{SEARCHED}{text}" for name, text in space.items()}
        return cls(strict={**strict, "direction": direction}, informational=informational)

    @classmethod
    def from_record(cls, record: Any) -> "Fingerprint | None":
        """Read what `to_record` wrote into a study, of an earlier version too; None if it is anything else."""
        try:
            strict, informational = dict(record["measured"]), dict(record["noted"])
        except (TypeError, KeyError, ValueError):
            return None
        targets = {key: current_target(value) for key, value in strict.items() if key.endswith("_target_")}
        return cls(strict=strict | targets, informational=informational)

    def to_record(self) -> dict[str, dict[str, str]]:
        return {"measured": self.strict, "noted": self.informational}  # the names that studies have


def is_harmless(key: str) -> bool:
    return is_within(key, HARMLESS)


def is_within(key: str, groups: Sequence[str]) -> bool:
    """Whether the key is one of `groups`, or below one of them."""
    return any(key == group or key.startswith((f"{group}.", f"{group}/")) for group in groups)


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What has changed, by key: the former value and the present one."""
    return {
        key: (then.get(key, "-"), now.get(key, "-")) for key in sorted({*then, *now}) if then.get(key) != now.get(key)
    }


def side_by_side(changed: Mapping[str, tuple[str, str]]) -> str:
    """The differences as a table of key, then, now."""
    return "\n".join(aligned([("", "then", "now"), *((key, then, now) for key, (then, now) in changed.items())]))


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key in range(len(node)) if isinstance(node, ListConfig) else node:
        path = f"{prefix}{key}"
        try:
            value = node[key]
        except OmegaConfBaseException:  # only known inside of a job, or not given
            unresolved: Any = OmegaConf.to_container(node, resolve=False)
            value = unresolved[key]
        if isinstance(value, DictConfig | ListConfig):
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _file(value: Any) -> Path | None:
    if not isinstance(value, str) or not value or len(value) > 1000 or "\0" in value or "://" in value:
        return None
    path = Path(value)
    return path if path.is_file() else None


def _content_of(path: Path) -> str:
    status = path.stat()
    return _digest(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)  # a search asks for each choice of its groups, and a table can be large
def _digest(path: Path, size: int, _: int) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"sha256:{digest[:16]} ({size} bytes)"


def environment() -> dict[str, str]:
    versions = {f"version of {name}": _version(name) for name in PACKAGES}
    return {
        "version of python": platform.python_version(),
        **versions,
        **_git_state(Path(sys.argv[0]).absolute().parent),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "-"


def _git_state(folder: Path) -> dict[str, str]:
    """The commit of the code and whether it was changed since; nothing outside of a git repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {
            "git commit": git("rev-parse", "HEAD"),
            "git tree": "changed" if git("status", "--porcelain", "--untracked-files=no") else "clean",
        }
    except (OSError, subprocess.SubprocessError):
        return {}
