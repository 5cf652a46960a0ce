"""Errors that the user can fix, and the layout of their messages."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra.errors import CompactHydraException
from omegaconf.errors import OmegaConfBaseException

MAX_NAMES = 5


class ConfigError(ValueError):
    """An error that the user can fix. The message names the config key, its value, and the way out.

    It is shown without a traceback, and the process exits with code 1.
    """


class DiskFullError(ConfigError):
    """A disk without free space, which ends the search. The search can be resumed once there is space."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def __str__(self) -> str:
        return (
            f"the disk of {self.folder} is full, so nothing more can be written. Finished trials are kept. Free some"
            " space and go on with resume=<the folder of the search>; hydra.sweeper.keep_checkpoints=1 needs less."
        )


# Hydra and OmegaConf explain errors in a config well enough to show their messages as they are.
USER_ERRORS = (ConfigError, CompactHydraException, OmegaConfBaseException)


def first_few(names: Sequence[object], *, between: str = ", ") -> str:
    """Join the first names and count the others, so that a wide table doesn't fill the screen."""
    shown = between.join(map(str, names[:MAX_NAMES]))
    return f"{shown} and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else shown


def format_errors(problems: Iterable[str]) -> str:
    """Return one message that lists each problem once; a single problem is the message itself."""
    unique = list(dict.fromkeys(problems))
    if len(unique) == 1:
        return unique[0]
    return "\n".join([f"{len(unique)} things are wrong", *("- " + problem.replace("\n", "\n  ") for problem in unique)])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return one indented line per row, with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
