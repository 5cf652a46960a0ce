"""What went wrong, as far as its reader can mend it."""

from hydra.errors import CompactHydraException
from omegaconf.errors import OmegaConfBaseException


class ConfigError(ValueError):
    """Something that the user can mend: the message names the config key, the value it got, and the way out.

    It is shown without a traceback, and the process ends with exit code 1.
    """


# Hydra's and OmegaConf's own words on a config are as good as ours.
USER_ERRORS = (ConfigError, CompactHydraException, OmegaConfBaseException)
