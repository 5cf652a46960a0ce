"""`grpc://host:port`: Optuna's gRPC storage proxy, a server that stands between many workers and a database."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, GrpcStorageProxy

from lightsweep.config.extras import command_for
from lightsweep.errors import ConfigError

GRPC = "grpc://"
DEFAULT_PORT = 13000  # of Optuna's server
READY_TIMEOUT_S = 5.0


def is_grpc(url: str) -> bool:
    return url.startswith(GRPC)


def address_of(url: str) -> tuple[str, int]:
    """Return host and port, the host as gRPC takes it: IPv6 in brackets. Raise `ConfigError` if the URL has others."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:  # the port is no number, or a bracket is missing
        host, port = None, 0
    if not host or url != f"{GRPC}{parts.netloc}" or "@" in parts.netloc:
        raise ConfigError(
            "hydra.sweeper.storage begins with grpc://, but is not of the form grpc://host:port, such as"
            f" grpc://localhost:{DEFAULT_PORT}. Optuna's gRPC server takes no user, password or database."
        )
    return f"[{host}]" if ":" in host else host, port


def open_proxy(url: str) -> BaseStorage:
    """Connect to the server. Raise `ConfigError` if nothing answers within seconds, or grpcio is not installed."""
    host, port = address_of(url)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # the user chose it in the config
            proxy = GrpcStorageProxy(host=host, port=port)
        proxy.wait_server_ready(timeout=READY_TIMEOUT_S)
    except ModuleNotFoundError:
        install = command_for("grpc")
        raise ConfigError(f"hydra.sweeper.storage is '{url}', which needs grpcio and protobuf: {install}") from None
    except ConnectionError:
        raise ConfigError(
            f"hydra.sweeper.storage is '{url}', but no gRPC server of Optuna answered there within"
            f" {READY_TIMEOUT_S:g} s. Start it (docs/workers.md, Storages), or correct host and port."
        ) from None
    return proxy


@contextmanager
def lost_server_as_error() -> Iterator[None]:
    """Raise one `ConfigError` if the server of a proxy fails in the block."""
    try:
        yield
    except Exception as error:
        if reason := failure_of_server(error):
            raise ConfigError(
                f"the gRPC server of hydra.sweeper.storage failed: {reason}. Finished trials are kept. Start the server"
                " again, then go on with resume=last."
            ) from None
        raise


def failure_of_server(error: BaseException | None) -> str | None:
    """Return what gRPC says, whichever exception Optuna raised from it; None if the exception has another cause."""
    grpc = sys.modules.get("grpc")
    while grpc is not None and error is not None:
        # Optuna itself expects the other codes, such as that of a study that does not exist.
        if isinstance(error, grpc.RpcError) and error.code().name in ("UNAVAILABLE", "UNKNOWN", "UNIMPLEMENTED"):
            return " ".join(str(error.details()).split()).rstrip(".")
        error = error.__cause__ or error.__context__
    return None
