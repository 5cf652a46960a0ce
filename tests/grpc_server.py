"""Optuna's gRPC server for tests, in a process of its own."""

import importlib.util
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

needs_grpc = pytest.mark.skipif(
    not (importlib.util.find_spec("grpc") and importlib.util.find_spec("google.protobuf")),
    reason="needs grpcio and protobuf, the extra grpc",
)
SERVER = """
import sys
from optuna.storages import get_storage, run_grpc_proxy_server
run_grpc_proxy_server(get_storage(sys.argv[1]), port=int(sys.argv[2]))
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return int(listener.getsockname()[1])


def wait_until_listening(port: int, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("localhost", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.1)
        else:
            return


@contextmanager
def proxy_server(storage: str) -> Iterator[str]:
    """Yield the URL of a server in front of a storage, once it listens."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", SERVER, storage, str(port)], stderr=subprocess.DEVNULL)
    try:
        wait_until_listening(port)
        yield f"grpc://localhost:{port}"
    finally:
        process.kill()
        process.wait()
