"""How a driver asks the jobs of its search to stop, wherever they run: by a file in the folder of the search."""

from pathlib import Path

STOP_FILE = ".stop"
AT_ONCE = "at once"


def ask_to_stop(folder: Path, *, at_once: bool) -> None:
    """Let every job of this search end at its next epoch, or in the middle of one."""
    (folder / STOP_FILE).write_text(AT_ONCE if at_once else "")


def take_back(folder: Path) -> None:
    """Forget what an earlier driver asked for, before the first job starts."""
    (folder / STOP_FILE).unlink(missing_ok=True)


def is_asked_to_stop(folder: Path) -> bool:
    return (folder / STOP_FILE).exists()


def is_asked_to_stop_at_once(folder: Path) -> bool:
    try:
        return (folder / STOP_FILE).read_text() == AT_ONCE
    except OSError:
        return False
