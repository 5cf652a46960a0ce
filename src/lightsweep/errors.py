"""What went wrong, as far as its reader can mend it."""

from collections.abc import Iterable

from hydra.errors import CompactHydraException
from omegaconf.errors import OmegaConfBaseException


class ConfigError(ValueError):
    """Something that the user can mend: the message names the config key, the value it got, and the way out.

    It is shown without a traceback, and the process ends with exit code 1.
    """


# Hydra's and OmegaConf's own words on a config are as good as ours.
USER_ERRORS = (ConfigError, CompactHydraException, OmegaConfBaseException)


def together(faults: Iterable[str]) -> str:
    """One message for all faults, each once; a single one is the message itself."""
    unique = list(dict.fromkeys(faults))
    if len(unique) == 1:
        return unique[0]
    return "\n".join([f"{len(unique)} things are wrong", *("- " + fault.replace("\n", "\n  ") for fault in unique)])
