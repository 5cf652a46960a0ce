"""Files that are either the old one or the new one, whatever happens while they are written."""

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
    """Return plain Python as the YAML that `OmegaConf.to_yaml` makes of it, whatever text is in it."""
    text: str = yaml.dump(content, default_flow_style=False, allow_unicode=True, sort_keys=False, Dumper=_Dumper)
    return text


def write_atomically(path: Path, text: str, *, durable: bool = True) -> None:
    """Write to a temporary name beside the file, force it to disk, and rename it into place.

    One that is not durable may be empty after a power loss, and after nothing less: it is not forced to disk, which on
    many disks takes longer than a small trial.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if durable:
            os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside the file to write to, renamed into place at the end and removed if that fails."""
    process = f"{socket.gethostname()}.{os.getpid()}"  # on two hosts, or in two containers, the ids can be the same
    temporary = path.with_name(f".{path.name}.{process}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, waiting: str) -> Iterator[None]:
    """Hold the kernel's lock on this file, which is created, and say `waiting` if another process holds it first.

    It ends with its process. On a file system that knows no such locks nobody waits.
    """
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
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
    """The path as a person would type it: relative where it lies below the working directory."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
