"""How a driver asks the jobs of its search to stop, wherever they run: by a file in the folder of the search."""

from pathlib import Path

STOP_FILE = ".stop"


def ask_to_stop(folder: Path) -> None:
    """Let every job of this search end at its next epoch."""
    (folder / STOP_FILE).touch()


def take_back(folder: Path) -> None:
    """Forget what an earlier driver asked for, before the first job starts."""
    (folder / STOP_FILE).unlink(missing_ok=True)


def is_asked_to_stop(folder: Path) -> bool:
    return (folder / STOP_FILE).exists()
