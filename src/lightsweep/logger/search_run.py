"""The run of a whole search, which MLflow has beside those of its trials; its driver ends it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lightsweep.logger.servers import limit_waiting, warn_of


@contextmanager
def ending_run_of_search(compose: Callable[[], DictConfig], folder: Path) -> Iterator[None]:
    """End the run of the search in this folder with the block: FINISHED, FAILED by an error, KILLED by a signal.

    `compose` returns the config of a job. Loggers of MLflow are those whose `_target_` has its name; without one
    nothing is imported.
    """
    status = "FINISHED"
    try:
        yield
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        raise
    finally:
        loggers = OmegaConf.select(compose(), "logger")
        for name, node in loggers.items() if isinstance(loggers, DictConfig) else ():
            if isinstance(node, DictConfig) and "mlflow" in str(node.get("_target_")).lower():
                _end(node, f"logger.{name!s}", folder=folder, status=status)


def _end(node: DictConfig, key: str, *, folder: Path, status: str) -> None:
    limit_waiting()
    try:
        from lightsweep.logger.mlflow import end_run_of_search

        end_run_of_search(node, folder.absolute(), status=status)
    except Exception as error:  # noqa: BLE001  (a tracker can't fail a search)
        warn_of(error, key=key, node=node)
