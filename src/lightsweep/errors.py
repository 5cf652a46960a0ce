"""What went wrong, as far as its reader can mend it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra.errors import CompactHydraException
from omegaconf.errors import OmegaConfBaseException


class ConfigError(ValueError):
    """Something that the user can mend: the message names the config key, the value it got, and the way out.

    It is shown without a traceback, and the process ends with exit code 1.
    """


class DiskFullError(ConfigError):
    """Nothing more can be written into a folder. The search ends, and goes on where it was once there is space."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def __str__(self) -> str:
        return (
            f"the disk of {self.folder} is full, so nothing more can be written. What was finished is kept. Make room"
            " and go on with resume=<the folder of the search>; hydra.sweeper.keep_checkpoints=1 needs less of it."
        )


# Hydra's and OmegaConf's own words on a config are as good as ours.
USER_ERRORS = (ConfigError, CompactHydraException, OmegaConfBaseException)


NAMED = 5


def first_few(names: Sequence[object], *, between: str = ", ") -> str:
    """The first names; how many more there are is counted, or a wide table would fill the screen."""
    shown = between.join(map(str, names[:NAMED]))
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown


def format_errors(faults: Iterable[str]) -> str:
    """One message for all faults, each once; a single one is the message itself."""
    unique = list(dict.fromkeys(faults))
    if len(unique) == 1:
        return unique[0]
    return "\n".join([f"{len(unique)} things are wrong", *("- " + fault.replace("\n", "\n  ") for fault in unique)])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Indented lines, one per row, with the columns below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
