"""The servers of trackers: how long to wait for one, and what is said of one that is down. Imports nothing heavy."""

import logging
import os
import sys

from omegaconf import DictConfig

from lightsweep.failures import in_one_line
from lightsweep.storage.password import masked_in
from lightsweep.trial.notices import is_first

MAX_REASON = 500
# A training waits half a minute for a server, unless the user has set these variables. By itself MLflow would wait for
# minutes in each trial, Weights & Biases without end.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "WANDB_INIT_TIMEOUT": "10",
    "WANDB_FINISH_TIMEOUT": "30",
}

log = logging.getLogger(__name__)


def limit_waiting() -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def warn_of(error: Exception, *, key: str, node: DictConfig) -> None:
    """Warn, once in a search, that the logger of this node is down; values of the node are masked as secrets."""
    reason = in_one_line(error)
    for value in node.values():
        reason = masked_in(reason, str(value))
    message = f"{key} is down; trainings go on without it: {reason[:MAX_REASON]}"
    log.info(message)
    if is_first(f"{key}.down"):
        print(f"warning: {message}", file=sys.stderr, flush=True)
