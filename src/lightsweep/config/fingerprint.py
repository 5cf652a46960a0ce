"""The fingerprint of a search: the settings that give a trial's value its meaning, compared when it is resumed."""

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightsweep.config.code import git, git_commit, versions
from lightsweep.config.targets import current_target
from lightsweep.direction import listed
from lightsweep.errors import aligned

SEARCHED = "searched: "

# Keys that may change within a search: they set how it is run, shown and stored, not what a trial's value means.
HARMLESS = (
    "confirm",
    "hydra",
    "logger",
    "verbose",
    "threads",
    "refit",
    "export",
    "ship",
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

# Keys that a later version added, each with the value that means what was done before.
ADDED = {
    "data.encoding": "None",
    "data.fold": "None",
    "data.n_folds": "5",
    "data.rare_classes": "refuse",
    "data.resampling": "holdout",
    "data.target_scale": "standard",
    "data.thousands": "None",
    "data.val_seed": "None",
    "model.activation_lr_factor": "1.0",
    "model.bias_lr_factor": "1.0",
    "model.decay_biases": "True",
    "model.dropout_schedule": "constant",
    "model.embedding_lr_factor": "1.0",
    "model.parametric_activation": "False",
    "model.parametrization": "standard",
    "model.scaling_layer": "False",
    "model.scaling_lr_factor": "1.0",
    "model.weight_decay_schedule": "constant",
}


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """`strict` must not change within a search unless the user allows it; a change of `informational` is a warning.

    Keys are config paths. The value of a searched parameter begins with `SEARCHED`.
    """

    strict: dict[str, str]
    informational: dict[str, str]

    @classmethod
    def of(cls, configs: Sequence[DictConfig], *, space: Mapping[str, str], directions: Sequence[str]) -> "Fingerprint":
        """Build it from configs that together show each choice of the space; the first one has priority."""
        strict: dict[str, str] = {}
        informational = environment()
        for config in reversed(configs):  # the first config is last, and so overwrites the others
            for key, value in _leaves(config):
                if is_harmless(key):
                    continue
                if (path := _file(value)) is None:
                    strict[key] = str(value)
                else:
                    status = path.stat()
                    strict[key] = _digest(path.resolve(), size=status.st_size, modified_ns=status.st_mtime_ns)
                    informational[f"{key} (path)"] = str(path)
        strict |= {name.lstrip("+"): f"{SEARCHED}{text}" for name, text in space.items()}
        return cls(strict={**strict, "direction": ",".join(directions)}, informational=informational)

    @classmethod
    def from_record(cls, record: Any) -> "Fingerprint | None":
        """Read what `to_record` wrote, also in an earlier version; None if it is anything else."""
        try:
            strict, informational = dict(record["measured"]), dict(record["noted"])
        except (TypeError, KeyError, ValueError):
            return None
        targets = {key: current_target(value) for key, value in strict.items() if key.endswith("_target_")}
        return cls(strict=strict | targets, informational=informational)

    def to_record(self) -> dict[str, dict[str, str]]:
        return {"measured": self.strict, "noted": self.informational}  # the keys in existing studies


def is_harmless(key: str) -> bool:
    return is_within(key, HARMLESS)


def is_within(key: str, groups: Sequence[str]) -> bool:
    """True if the key is one of `groups` or below one of them."""
    return any(key == group or key.startswith((f"{group}.", f"{group}/")) for group in groups)


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the changed keys, each with its former and its present value.

    A key that an earlier version did not have is unchanged while it has the value of `ADDED`.
    """
    then = {key: value for key, value in ADDED.items() if now.get(key) == value} | {**then}
    return {
        key: (then.get(key, "-"), now.get(key, "-")) for key in sorted({*then, *now}) if then.get(key) != now.get(key)
    }


def differing(settings: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return the keys whose values are not the same everywhere, with the value of each of the settings, "-" for none.

    As in `differences`, a key that an earlier version did not have has the value of `ADDED` where others have that.
    """
    former = {key: value for key, value in ADDED.items() if any(each.get(key) == value for each in settings)}
    known = [former | {**each} for each in settings]
    rows = {key: tuple(each.get(key, "-") for each in known) for key in sorted({key for each in known for key in each})}
    return {key: values for key, values in rows.items() if len(set(values)) > 1}


def side_by_side(changed: Mapping[str, tuple[str, str]]) -> str:
    """Return the differences as a table with the columns key, then, now."""
    return "\n".join(aligned([("", "then", "now"), *((key, then, now) for key, (then, now) in changed.items())]))


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key in range(len(node)) if isinstance(node, ListConfig) else node:
        path = f"{prefix}{key}"
        try:
            value = node[key]
        except OmegaConfBaseException:  # known only inside a job, or missing
            unresolved: Any = OmegaConf.to_container(node, resolve=False)
            value = unresolved[key]
        if key in ("monitor", "direction") and not isinstance(value, DictConfig):
            yield path, ",".join(map(str, listed(value)))  # a list of one means the same as its item
        elif isinstance(value, DictConfig | ListConfig):
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _file(value: Any) -> Path | None:
    if not isinstance(value, str) or not value or len(value) > 1000 or "\0" in value or "://" in value:
        return None
    path = Path(value)
    return path if path.is_file() else None


@lru_cache(maxsize=64)  # a search asks once per choice of a group, and a table can be large
def _digest(path: Path, *, size: int, modified_ns: int) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"sha256:{digest[:16]} ({size} bytes)"


def environment() -> dict[str, str]:
    """Return the versions of Python and of the main packages, and the git state of the script's folder."""
    git_state = _git_state(Path(sys.argv[0]).absolute().parent)
    return {**{f"version of {name}": version for name, version in versions().items()}, **git_state}


def _git_state(folder: Path) -> dict[str, str]:
    """Return the commit and whether files differ from it; nothing outside a git repository."""
    commit, changes = git_commit(folder), git(folder, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return {}
    return {"git commit": commit, "git tree": "changed" if changes else "clean"}
