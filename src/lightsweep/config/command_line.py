"""The short words of a search on the command line: `resume`, `fork`, `allow_changes` and `preflight`."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lightsweep.errors import ConfigError
from lightsweep.files import write_atomically

COMMAND = "command.json"
OWN_OVERRIDES = re.compile(r"hydra\.(mode|sweep\.dir|sweeper\.(allow_changes|fork|preflight))=")  # said by each start
ALIASES = re.compile(r"(allow_changes|fork|preflight)=")


def save_command(folder: Path, *, config: DictConfig) -> None:
    """Write what the search was started with into its folder, for `resume`."""
    # Unresolved, as Hydra itself reads them: a variable of the environment may stand for a password.
    overrides = OmegaConf.to_container(config.hydra.overrides, resolve=False)
    assert isinstance(overrides, dict)
    kept = [override for override in [*overrides["task"], *overrides["hydra"]] if not OWN_OVERRIDES.match(override)]
    write_atomically(folder / COMMAND, json.dumps([*config_dir_in(sys.argv[1:]), *kept], indent=1))


def config_dir_in(arguments: Sequence[str]) -> list[str]:
    """The folder of the user's own config files, if one is given, as one argument with an absolute path."""
    for i, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        if flag in ("--config-dir", "-cd"):
            return [f"--config-dir={Path(value or ''.join(arguments[i + 1 : i + 2])).absolute()}"]
    return []


def expand_aliases(arguments: Sequence[str]) -> list[str]:
    """Replace each short word by the setting that it stands for: `preflight=true` is `hydra.sweeper.preflight=true`."""
    return [f"hydra.sweeper.{a}" if ALIASES.match(a) else a for a in arguments]


def expand_resume(arguments: Sequence[str], *, outputs: Path) -> list[str]:
    """Replace `resume=...` by what that search was started with; what else is said comes after it and wins.

    Raises `ConfigError` if there is no such search.
    """
    asked = [argument.removeprefix("resume=") for argument in arguments if argument.startswith("resume=")]
    if not asked:
        return list(arguments)
    folder = _last_search(outputs) if asked[-1] == "last" else Path(asked[-1])
    rest = [argument for argument in arguments if not argument.startswith("resume=")]
    kept = [override for override in _kept_command(folder) if not any(_says_again(later, override) for later in rest)]
    return [*kept, *rest, "hydra.sweep.dir='" + str(folder.absolute()).replace("'", r"\'") + "'"]


def _says_again(later: str, override: str) -> bool:
    """Whether the later override stands in place of the earlier one, as what can be added or deleted only once must.

    `x=2` does not stand in place of `+x=1`, without which there is no `x` to set.
    """
    (sign, key), (earlier_sign, earlier_key) = _sign_and_key(later), _sign_and_key(override)
    return key == earlier_key and earlier_sign in ("", sign)


def _sign_and_key(override: str) -> tuple[str, str]:
    """`++` adds as `+` does."""
    key = override.partition("=")[0]
    return key[:1] if key.startswith(("+", "~")) else "", key.lstrip("+~")


def _last_search(outputs: Path) -> Path:
    kept = sorted(outputs.glob(f"*/*/{COMMAND}"), key=lambda path: path.stat().st_mtime)
    if not kept:
        raise ConfigError(f"resume=last: there is no search below {outputs}. Name its folder: resume=<folder>.")
    return kept[-1].parent


def _kept_command(folder: Path) -> list[str]:
    try:
        kept = json.loads((folder / COMMAND).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = None
    if not isinstance(kept, list) or not all(isinstance(override, str) for override in kept):
        raise ConfigError(
            f"resume={folder}: that folder holds no {COMMAND}, so it is not the folder of a search."
            " Searches are in outputs/<name>/<date_time>/; resume=last takes the newest."
        )
    return kept
