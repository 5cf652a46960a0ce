"""The password in the URL of a storage: it works, and is neither shown nor written."""

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
STORAGE_OVERRIDE = re.compile(r"\+{0,2}hydra\.sweeper\.storage=(.*)", re.DOTALL)


def masked(url: str) -> str:
    """The URL as it may be shown: its password is replaced by ***."""
    if "://" not in url:
        return url
    scheme, rest = url.split("://", 1)
    credentials, at, host = rest.rpartition("@")  # a password may hold any other sign
    if ":" in credentials and not url.startswith(SQLITE):
        credentials = credentials.split(":", 1)[0] + ":***"
    return PASSWORD_IN_QUERY.sub(r"\1***", f"{scheme}://{credentials}{at}{host}")


def masked_in(text: str, url: str) -> str:
    """The text without the URL's passwords, as they were written or decoded."""
    for password in passwords(url):
        for spelling in (password, unquote(password), unquote_plus(password)):
            text = text.replace(spelling, "***")
    return text


def passwords(url: str) -> list[str]:
    """The passwords in the URL, as they are written there."""
    _, _, rest = url.partition("://")
    credentials = "" if url.startswith(SQLITE) else rest.rpartition("@")[0]
    return list(filter(None, [credentials.partition(":")[2], *(m[2] for m in PASSWORD_IN_QUERY.finditer(rest))]))


def out_of_the_command(arguments: Sequence[str]) -> list[str]:
    """Replace a storage URL that holds a password by a variable, which this process gives on to its workers.

    Done before Hydra reads the command, because it repeats an argument that it can't parse.
    Raises `ConfigError` if the command, perhaps that of the search to be resumed, needs a variable that is not set.
    """
    hidden = list(map(_hidden, arguments))
    for argument in hidden[::-1]:
        if override := STORAGE_OVERRIDE.fullmatch(argument):
            _check_variables(override[1])
            break  # the last one counts
    return hidden


def hide_password(config: DictConfig, url: str | None) -> None:
    """Keep the password out of the config that jobs are given; `url` is what `hydra.sweeper.storage` resolves to.

    An interpolation of the user's own stays as it is. Raises `ConfigError` if another key holds the password.
    """
    if not (secrets := passwords(url or "")):
        return
    assert url is not None
    written = _plain(config)["hydra"]["sweeper"]["storage"]
    if any(secret in written for secret in secrets):
        os.environ[VARIABLE] = url
        _replace_storage(config)
    for key, value in _leaves(_plain(config)):
        if url in value or ("${" in written and value in secrets):
            raise ConfigError(
                f"{key} holds the password of hydra.sweeper.storage and would be written into the folder of every"
                " trial. Put the URL into an environment variable, and say"
                f" hydra.sweeper.storage='${{oc.env:{VARIABLE}}}'."
            )


def _hidden(argument: str) -> str:
    override = STORAGE_OVERRIDE.fullmatch(argument)
    if override is None or "${" in override[1]:
        return argument
    url = _unquoted(override[1])
    if not passwords(url):
        return argument
    os.environ[VARIABLE] = url
    return OVERRIDE


def _unquoted(value: str) -> str:
    quoted = re.fullmatch(r"(['\"])(.*)\1", value, re.DOTALL)
    return quoted[2].replace("\\" + quoted[1], quoted[1]) if quoted else value


def _check_variables(value: str) -> None:
    for name in re.findall(r"\$\{oc\.env:\s*([^,}\s]+)\s*\}", value):
        if name not in os.environ:
            raise ConfigError(
                f"hydra.sweeper.storage is {value}, but the environment variable {name} is not set. The URL of the"
                " storage is kept nowhere else, because of its password:"
                f" export {name}='postgresql+psycopg://user:password@host/db' and start again."
            )


def _replace_storage(config: DictConfig) -> None:
    """Jobs are composed from the overrides, so it goes there and not only into the config."""
    overrides = _plain(config)["hydra"]["overrides"]["hydra"]
    others = [override for override in overrides if not STORAGE_OVERRIDE.fullmatch(override)]
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.sweeper.storage = OVERRIDE.partition("=")[2]
        config.hydra.overrides.hydra = [*others, OVERRIDE]
    if HydraConfig.initialized():
        HydraConfig.instance().set_config(config)  # it keeps a copy, which launchers pickle


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
