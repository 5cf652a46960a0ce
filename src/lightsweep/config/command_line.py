"""The aliases of a search on the command line: `resume`, `fork`, `preflight`, `workers`, `gpus` and others."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lightsweep.errors import ConfigError
from lightsweep.files import write_atomically

COMMAND = "command.json"
PER_START = re.compile(r"hydra\.(mode|sweep\.dir|sweeper\.(allow_changes|fork|preflight))=")  # not kept for `resume`
FILLED_GROUPS = {"optimizer=null": "~optimizer", "logger=null": "~logger"}
EMPTY_GROUPS = ("hparams_search=null", "experiment=null")
LAUNCHER = "hydra/launcher="
N_JOBS = "hydra.sweeper.n_jobs="
OF_GPUS = {"gpus", "workers_per_gpu"}
OF_WORKERS = {"workers", *OF_GPUS}
ALIASES = {
    "allow_changes": "hydra.sweeper.allow_changes",
    "fork": "hydra.sweeper.fork",
    "preflight": "hydra.sweeper.preflight",
    "workers": "hydra.sweeper.n_jobs",
    "gpus": "hydra.launcher.gpus",
    "workers_per_gpu": "hydra.launcher.workers_per_gpu",
}
VALUES = {  # of an alias: the pattern, and in words
    "workers": (r"[1-9]\d*|auto", "a whole number of at least 1, or auto"),
    "gpus": (
        r"\[.*\]|auto|null",
        "auto, or a list of GPUs by their numbers in nvidia-smi or their UUIDs, such as [0,1]",
    ),
}


def save_command(folder: Path, *, config: DictConfig) -> None:
    """Write the arguments of the search into its folder, for `resume`."""
    # Unresolved, because an environment variable may hold a password.
    overrides = OmegaConf.to_container(config.hydra.overrides, resolve=False)
    assert isinstance(overrides, dict)
    kept = [override for override in [*overrides["task"], *overrides["hydra"]] if not PER_START.match(override)]
    write_atomically(folder / COMMAND, json.dumps([*config_dir_in(sys.argv[1:]), *kept], indent=1))


def config_dir_in(arguments: Sequence[str]) -> list[str]:
    """Return the user's `--config-dir`, if there is one, as one argument with an absolute path."""
    for i, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        if flag in ("--config-dir", "-cd"):
            return [f"--config-dir={Path(value or ''.join(arguments[i + 1 : i + 2])).absolute()}"]
    return []


def expand_arguments(arguments: Sequence[str], *, outputs: Path) -> list[str]:
    """Return the arguments as Hydra takes them, with those of the search in `outputs` that is resumed.

    Raise `ConfigError` for a value that an alias can't have, and if there is no such search.
    """
    return choose_launcher(expand_resume(expand_aliases(arguments), outputs=outputs), given=arguments)


def expand_aliases(arguments: Sequence[str]) -> list[str]:
    """Replace each alias by its setting: `preflight=true` becomes `hydra.sweeper.preflight=true`.

    Hydra refuses `<group>=null`. An optional group that the defaults list fills becomes `~<group>`, and one that the
    defaults list leaves empty is left out.
    """
    return [_setting(FILLED_GROUPS.get(a, a)) for a in arguments if a not in EMPTY_GROUPS]


def _setting(argument: str) -> str:
    alias, equals, value = argument.partition("=")
    if not equals or alias not in ALIASES:
        return argument
    pattern, must_be = VALUES.get(alias, (".*", ""))
    if not re.fullmatch(pattern, value, re.DOTALL):
        raise ConfigError(f"{alias} is '{value}'; it must be {must_be}.")
    return f"{ALIASES[alias]}={'null' if (alias, value) == ('workers', 'auto') else value}"


def choose_launcher(arguments: Sequence[str], *, given: Sequence[str]) -> list[str]:
    """Add what `workers`, `gpus` and `workers_per_gpu` among the `given` arguments imply.

    They choose the launcher `processes`, unless the arguments, which may be those of a resumed search, choose one.
    `gpus` without a number of workers fills the GPUs. Raise `ConfigError` for GPUs with another launcher.
    """
    values = dict(argument.split("=", 1) for argument in given if "=" in argument)
    if not values.keys() & OF_WORKERS:
        return list(arguments)
    launcher = next((a.removeprefix(LAUNCHER) for a in reversed(arguments) if a.startswith(LAUNCHER)), None)
    if launcher not in (None, "processes") and (of_gpus := values.keys() & OF_GPUS):
        raise ConfigError(
            f"{min(of_gpus)} is given with hydra/launcher={launcher}, which has no such setting. Leave out one of them;"
            " gpus and workers_per_gpu are settings of hydra/launcher=processes."
        )
    added = [f"{LAUNCHER}processes"] if launcher is None else []
    if values.get("gpus", "null") != "null" and not any(a.startswith(N_JOBS) for a in arguments):
        added.append(f"{N_JOBS}null")
    return [*arguments, *added]


def expand_resume(arguments: Sequence[str], *, outputs: Path) -> list[str]:
    """Replace `resume=...` by the arguments of that search. Other arguments come after them and win.

    Raise `ConfigError` if there is no such search.
    """
    resumed = [argument.removeprefix("resume=") for argument in arguments if argument.startswith("resume=")]
    if not resumed:
        return list(arguments)
    folder = _last_search(outputs) if resumed[-1] == "last" else Path(resumed[-1])
    rest = [argument for argument in arguments if not argument.startswith("resume=")]
    saved = _saved_command(folder)
    if any(argument.startswith(LAUNCHER) and argument not in saved for argument in rest):
        saved = [override for override in saved if not override.startswith("hydra.launcher.")]  # of the former one
    kept = [override for override in saved if not any(_replaces(later, override) for later in rest)]
    return [*kept, *rest, "hydra.sweep.dir='" + str(folder.absolute()).replace("'", r"\'") + "'"]


def _last_search(outputs: Path) -> Path:
    commands = sorted(outputs.glob(f"*/*/{COMMAND}"), key=lambda path: path.stat().st_mtime)
    if not commands:
        raise ConfigError(f"resume=last: there is no search below {outputs}. Name its folder: resume=<folder>.")
    return commands[-1].parent


def _saved_command(folder: Path) -> list[str]:
    saved = read_command(folder)
    if saved is None:
        raise ConfigError(
            f"resume={folder}: that folder holds no {COMMAND}, so it is not the folder of a search."
            " Searches are in outputs/<name>/<date_time>/; resume=last takes the newest."
        )
    return saved


def read_command(folder: Path) -> list[str] | None:
    """Return the arguments that `save_command` wrote, None if there are none."""
    try:
        saved = json.loads((folder / COMMAND).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_list = isinstance(saved, list) and all(isinstance(override, str) for override in saved)
    return saved if is_list else None


def _replaces(later: str, override: str) -> bool:
    """True if the later override makes the earlier one redundant; a key can be added or deleted only once.

    `x=2` does not replace `+x=1`, without which there is no `x` to set. `++x` counts as `+x`.
    """
    (sign, key), (earlier_sign, earlier_key) = _sign_and_key(later), _sign_and_key(override)
    return key == earlier_key and earlier_sign in ("", sign)


def _sign_and_key(override: str) -> tuple[str, str]:
    key = override.partition("=")[0]
    return key[:1] if key.startswith(("+", "~")) else "", key.lstrip("+~")
