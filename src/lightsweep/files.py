"""Files that several processes use: atomic writes, locks, YAML and paths to show."""

import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
    """Quotes text as OmegaConf does, which reads more words as numbers than YAML 1.1."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "'" if text in ("y", "Y", "n", "N") or _is_number(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_Dumper.add_representer(str, _represent_text)


def yaml_of(content: dict[str, Any]) -> str:
    """Return the YAML that `OmegaConf.to_yaml` writes; unlike it, accept text that looks like an interpolation."""
    text: str = yaml.dump(content, default_flow_style=False, allow_unicode=True, sort_keys=False, Dumper=_Dumper)
    return text


def write_atomically(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace the file as a whole: whatever happens, it holds either the old text or the new one.

    `durable` forces the text to disk, which on many disks takes longer than a small trial. Without it the file may be
    empty after a power loss, but after nothing else.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if durable:
            os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which is renamed to `path` at the end, or removed on an error."""
    process = f"{socket.gethostname()}.{os.getpid()}"  # process ids of two hosts or containers can be the same
    temporary = path.with_name(f".{path.name}.{process}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, waiting: str | None = None) -> Iterator[None]:
    """Create the file and hold the kernel's lock on it; print `waiting`, if given, if another process holds it.

    The kernel releases the lock when the process ends. On a file system without such locks nothing is locked.
    """
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough while a forked child has a copy


def shown(path: Path) -> str:
    """Return the path relative to the working directory if it is below it, else the whole path."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
