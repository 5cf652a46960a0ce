"""A PostgreSQL server for tests."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

needs_postgres = pytest.mark.skipif(
    not (shutil.which("initdb") and shutil.which("pg_ctl") and importlib.util.find_spec("psycopg")),
    reason="needs initdb and pg_ctl of PostgreSQL on the PATH, and psycopg",
)


@contextmanager
def empty_database() -> Iterator[str]:
    """Yield the URL of an empty database. Its server listens on a socket only, whose path must be short."""
    user = "postgres" if os.getuid() == 0 else None  # the server refuses to run as root
    with tempfile.TemporaryDirectory() as folder:
        if user:
            shutil.chown(folder, user)
        data = f"{folder}/data"
        control = ["pg_ctl", "-D", data, "-w", "-l", f"{folder}/log"]
        options = ["-o", f"-k {folder} -h '' -c fsync=off"]
        for command in (["initdb", "-D", data, "-U", "me", "-A", "trust"], [*control, *options, "start"]):
            subprocess.run(command, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        try:
            yield f"postgresql+psycopg://me@/postgres?host={folder}"
        finally:
            stop = [*control, "-m", "immediate", "stop"]
            subprocess.run(stop, user=user, cwd=folder, check=True, capture_output=True)
