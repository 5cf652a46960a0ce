"""The HTML file that a command writes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightsweep.errors import ConfigError

MAX_LENGTH = 100


def file_name(study_name: str) -> str:
    """Return a name for the page of a study, whose own name may hold anything."""
    name = re.sub(r"[^\w.-]+", "_", study_name, flags=re.ASCII).strip("._-")[:MAX_LENGTH]
    return f"{name or 'study'}.html"


@contextmanager
def page_file(path: Path) -> Iterator[None]:
    """Check the path of a page that the block writes. Raise `ConfigError` if it can't be written."""
    if path.is_dir():
        raise ConfigError(f"-o is {path}, which is a folder; give a file.")
    if not path.parent.is_dir():
        raise ConfigError(f"-o is {path}; {path.parent} must be a folder that exists.")
    if path.exists() and path.suffix not in (".html", ".htm"):
        raise ConfigError(f"-o is {path}, which exists and is no HTML page by its name; give another name.")
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror or error}") from error
