"""Warnings that a search shows once, although its jobs run in many processes."""

from lightsweep.trial.context import folder_of_search
from lightsweep.trial.driver import driver


def is_first(name: str) -> bool:
    """True for the first job that asks, by a hidden file in the folder of the search; always true outside a search.

    The file is named after the driver, so that a search that is resumed warns again.
    """
    folder, owner = folder_of_search(), driver()
    if folder is None or owner is None:
        return True
    try:
        (folder / f".{name}.{owner.host}.{owner.pid}").touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        pass  # a full disk
    return True
