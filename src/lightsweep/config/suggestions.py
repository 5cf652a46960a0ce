"""The message for a wrong key or option, with similar names as suggestions."""

import difflib
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from lightsweep.config.extras import missing_launcher
from lightsweep.errors import ConfigError

UNKNOWN_KEY = re.compile(
    r"Could not (?:override|delete from config\.) '([^']+)'(?:\.\s+To append to your config use \+(\S.*))?"
)
NULL_CHOICE = re.compile(r"Error parsing override '(.*)'\s+TypeError .*NoneType is incompatible with")


def message_of(error: Exception, *, known_keys: Callable[[], list[str]] | None = None) -> str:
    """Return the message for an error of Hydra or OmegaConf, with names similar to an unknown one.

    `known_keys` returns the keys to choose from; by default those of the config that the command line selects.
    """
    text = str(error).split("\nConfig search path:")[0].rstrip()
    if isinstance(error, ConfigError):
        return text  # our own messages are complete
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} is not given. Set it in a YAML file, or on the command line: {error.full_key}=..."
    if unknown := UNKNOWN_KEY.search(text):
        key, override = unknown.groups()
        known = (known_keys or _known_keys)()
        if key.startswith("hydra.sweeper.") and "hydra.sweeper.n_trials" not in known:
            return f"{override or key}: only a search has this setting. Choose one, such as hparams_search=mlp."
        similar = _did_you_mean(closest_keys(key, known))
        to_add = f" To add it, write +{override}" if override else ""
        return f"{override or key}: the config has no key '{key}'.{similar}{to_add}"
    if null := NULL_CHOICE.search(text):
        values = null[1].replace("=choice(", "=", 1).removesuffix(")")
        return f"{null[1]}: choice(...) can't hold null. Separate the values by commas instead: '{values}'"
    if isinstance(error, MissingConfigException) and (missing := _missing_launcher(error)):
        return missing
    lines = [text]
    if isinstance(error.__cause__, OmegaConfBaseException):
        lines.append(str(error.__cause__).splitlines()[0])
    if isinstance(error, MissingConfigException) and error.options:
        wrong = str(error.missing_cfg_file).rsplit("/", 1)[-1].removesuffix(".yaml")
        lines.append(_did_you_mean(difflib.get_close_matches(wrong, error.options, n=3, cutoff=0.5)).strip())
    return "\n".join(filter(None, lines))


def _missing_launcher(error: MissingConfigException) -> str | None:
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    return missing_launcher(name) if group == "hydra/launcher" else None


def _did_you_mean(similar: list[str]) -> str:
    return f" Did you mean {' or '.join(similar)}?" if similar else ""


def closest_keys(key: str, known: Iterable[str]) -> list[str]:
    """Return up to three known keys that are similar to `key`, those with the same last part first."""
    known = list(known)
    last = key.rsplit(".", 1)[-1]
    same_name = [k for k in known if k.rsplit(".", 1)[-1] == last]
    similar = difflib.get_close_matches(key, known, n=3, cutoff=0.7)
    return list(dict.fromkeys(same_name + similar))[:3]


def _known_keys() -> list[str]:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    groups = [argument for argument in sys.argv[1:] if re.fullmatch(r"[\w/]+=[\w\[\],/-]+", argument)]
    GlobalHydra.instance().clear()
    for overrides in (groups, []):
        try:
            with initialize_config_dir(config_dir=str(Path(sys.argv[0]).absolute().parent / "conf")):
                cfg = compose("train", overrides=overrides, return_hydra_config=True)
        except Exception:  # noqa: BLE001  (only a suggestion is lost)
            continue
        return keys_of(cfg)
    return []


def keys_of(cfg: DictConfig) -> list[str]:
    """Return all keys and groups of a config that the command line can override."""
    of_search_space = ("hydra.sweeper.params.", "hydra.sweeper.when.")
    keys = [key for key in _leaf_keys(cfg) if not key.startswith(of_search_space)]
    return [*keys, *cfg.hydra.runtime.choices]


def _leaf_keys(cfg: DictConfig, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key in map(str, cfg):
        node = None if OmegaConf.is_missing(cfg, key) or OmegaConf.is_interpolation(cfg, key) else cfg[key]
        keys.append(f"{prefix}{key}")
        if isinstance(node, DictConfig):
            keys += _leaf_keys(node, f"{prefix}{key}.")
    return keys
