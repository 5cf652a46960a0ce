"""Optuna's gRPC server for tests, in a process of its own."""

import importlib.util
import socket
import subprocess
import sys
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


@contextmanager
def proxy_server(storage: str) -> Iterator[str]:
    """Yield the URL of a server in front of a storage."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", SERVER, storage, str(port)], stderr=subprocess.DEVNULL)
    try:
        yield f"grpc://localhost:{port}"
    finally:
        process.kill()
        process.wait()
