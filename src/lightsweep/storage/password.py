"""The password in a storage URL, which is used but neither shown nor written."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote, unquote_plus

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from lightsweep.errors import ConfigError

VARIABLE = "LIGHTSWEEP_STORAGE"
OVERRIDE = f"hydra.sweeper.storage=${{oc.env:{VARIABLE}}}"
SQLITE = "sqlite:///"
PASSWORD_IN_QUERY = re.compile(r"([?&][^=&]*(?:pass(?!file)|secret|token)[^=&]*=)([^&]*)", re.IGNORECASE)
PASSWORD_IN_TEXT = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)\S+@", re.IGNORECASE)
VARIABLE_IN_URL = re.compile(r"\$\{oc\.env:\s*([^,}\s]+)")
STORAGE_OVERRIDE = re.compile(r"\+{0,2}hydra\.sweeper\.storage=(.*)", re.DOTALL)


def masked(url: str) -> str:
    """Return the URL with *** in place of its password."""
    if "://" not in url:
        return url
    scheme, rest = url.split("://", 1)
    credentials, at, host = rest.rpartition("@")  # the last @, because a password may hold others
    if ":" in credentials and not url.startswith(SQLITE):
        credentials = credentials.split(":", 1)[0] + ":***"
    return PASSWORD_IN_QUERY.sub(r"\1***", f"{scheme}://{credentials}{at}{host}")


def masked_in(text: str, url: str) -> str:
    """Return the text with *** in place of the URL's passwords, percent-encoded or decoded."""
    for password in passwords(url):
        for spelling in (password, unquote(password), unquote_plus(password)):
            text = text.replace(spelling, "***")
    return text


def masked_urls(text: str) -> str:
    """Return the text with *** in place of what looks like the password of a URL."""
    lines = PASSWORD_IN_TEXT.sub(r"\1***@", text).split("\n")
    return "\n".join(PASSWORD_IN_QUERY.sub(r"\1***", line) if "://" in line else line for line in lines)


def passwords(url: str) -> list[str]:
    """Return the passwords in the URL, still percent-encoded."""
    _, _, rest = url.partition("://")
    credentials = "" if url.startswith(SQLITE) else rest.rpartition("@")[0]
    return list(filter(None, [credentials.partition(":")[2], *(m[2] for m in PASSWORD_IN_QUERY.finditer(rest))]))


def hide_in_arguments(arguments: Sequence[str]) -> list[str]:
    """Replace a storage URL that holds a password by an environment variable, which workers inherit.

    This must happen before Hydra reads the command line, because Hydra prints an argument that it can't parse.
    Raise `ConfigError` if the arguments, which may be those of the search to resume, use a variable that is not set.
    """
    hidden = list(map(_hidden, arguments))
    overrides = list(filter(None, map(STORAGE_OVERRIDE.fullmatch, hidden)))
    if overrides:
        _check_variables(overrides[-1][1])  # the last one counts
    return hidden


def _hidden(argument: str) -> str:
    override = STORAGE_OVERRIDE.fullmatch(argument)
    if override is None or "${" in override[1]:
        return argument
    quoted = re.fullmatch(r"(['\"])(.*)\1", override[1], re.DOTALL)
    url = quoted[2].replace("\\" + quoted[1], quoted[1]) if quoted else override[1]
    if not passwords(url):
        return argument
    os.environ[VARIABLE] = url
    return OVERRIDE


def _check_variables(value: str) -> None:
    for name in re.findall(r"\$\{oc\.env:\s*([^,}\s]+)\s*\}", value):
        if name not in os.environ:
            raise ConfigError(
                f"hydra.sweeper.storage is {value}, but the environment variable {name} is not set. The URL holds a"
                " password and so was not saved with the search:"
                f" export {name}='postgresql+psycopg://user:password@host/db' and start again."
            )


def hide_password(config: DictConfig, url: str | None) -> None:
    """Keep the password out of the config of the jobs; `url` is the resolved value of `hydra.sweeper.storage`.

    The user's own interpolation stays. Raise `ConfigError` if another key holds the password.
    """
    if url is None or not (secrets := passwords(url)):
        return
    written = _plain(config)["hydra"]["sweeper"]["storage"]
    if any(secret in written for secret in secrets):
        os.environ[VARIABLE] = url
        _replace_storage(config)
    for key, value in _leaves(_plain(config)):
        if url in value or ("${" in written and value in secrets):
            raise ConfigError(
                f"{key} holds the password of hydra.sweeper.storage and would be written into the folder of every"
                " trial. Put the URL into an environment variable, and set"
                f" hydra.sweeper.storage='${{oc.env:{VARIABLE}}}'."
            )


def variables_of_storage(config: DictConfig) -> dict[str, str]:
    """Return the environment variables that `hydra.sweeper.storage` uses, with their values."""
    sweeper = OmegaConf.select(config, "hydra.sweeper")
    written = str(_plain(sweeper).get("storage")) if sweeper else ""
    return {name: os.environ[name] for name in VARIABLE_IN_URL.findall(written) if name in os.environ}


def _replace_storage(config: DictConfig) -> None:
    """Replace the URL in the config and in the overrides, from which jobs are composed."""
    overrides = _plain(config)["hydra"]["overrides"]["hydra"]
    others = [override for override in overrides if not STORAGE_OVERRIDE.fullmatch(override)]
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.sweeper.storage = OVERRIDE.partition("=")[2]
        config.hydra.overrides.hydra = [*others, OVERRIDE]
    if HydraConfig.initialized():
        HydraConfig.instance().set_config(config)  # it holds a copy, which launchers pickle


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict | list):
        for name, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _leaves(child, f"{key}.{name}" if key else str(name))
    elif isinstance(node, str):
        yield key, node
