"""Runs in MLflow: one per training, those of a search below a run of the search."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient
from omegaconf import DictConfig
from pytorch_lightning.loggers import MLFlowLogger

from lightsweep.files import locked
from lightsweep.logger.run import Run
from lightsweep.storage.password import SQLITE
from lightsweep.trial.context import current_study
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.status import FAIL_REASON, status_of

FOLDER = "folder"  # the tag by which a later job finds the run of a search or of an interrupted trial
PARENT = "mlflow.parentRunId"
MAX_NAME = 250
MAX_TEXT = 5000
STATUS = {
    "complete": "FINISHED",
    "pruned": "KILLED",
    "interrupted": "KILLED",
    "failed": "FAILED",
    "infeasible": "FAILED",
}


@contextmanager
def opening(node: DictConfig, run: Run) -> Iterator[dict[str, Any]]:
    """Yield the arguments with which the logger of this node opens its run, while no other process opens one.

    MLflow itself would create the tables of a new database, an experiment, or the run of the search several times.
    """
    uri = (
        node.get("tracking_uri")
        or os.environ.get("MLFLOW_TRACKING_URI")
        or f"file:{node.get('save_dir') or './mlruns'}"
    )
    path = Path(uri.removeprefix(SQLITE))
    lock = path if uri.startswith(SQLITE) else (run.search or run.folder) / ".mlflow"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock.with_name(f"{lock.name}.lock")):
        yield {"tracking_uri": uri, **_arguments(MlflowClient(uri), node, run)}


def _arguments(client: MlflowClient, node: DictConfig, run: Run) -> dict[str, Any]:
    if node.get("run_id"):
        return {}  # the user's own run
    name = node.get("experiment_name") or "lightsweep"
    experiment_id = _experiment(client, name, artifact_location=node.get("artifact_location"))
    tags = {**(node.get("tags") or {}), **run.about, FOLDER: run.folder.as_uri()}
    if run.search is not None:
        tags[PARENT] = _find(client, experiment_id, run.search) or _create_parent(client, experiment_id, run)
        _close_lost_runs(client, experiment_id, parent=tags[PARENT])
    if run.is_trial and (earlier := _find(client, experiment_id, run.folder)):
        client.update_run(earlier, status="RUNNING")
        return {"experiment_name": name, "run_id": earlier}
    return {"experiment_name": name, "run_name": node.get("run_name") or run.name, "tags": tags}


def _experiment(client: MlflowClient, name: str, *, artifact_location: str | None) -> str:
    existing = client.get_experiment_by_name(name)
    return str(existing.experiment_id if existing else client.create_experiment(name, artifact_location))


def _find(client: MlflowClient, experiment_id: str, folder: Path) -> str | None:
    """Return the id of the run with this folder; a URI has no quotes, which the filter could not hold."""
    found = client.search_runs([experiment_id], f"tags.{FOLDER} = '{folder.as_uri()}'", max_results=1)
    return str(found[0].info.run_id) if found else None


def _create_parent(client: MlflowClient, experiment_id: str, run: Run) -> str:
    assert run.search is not None
    tags = {FOLDER: run.search.as_uri(), "study": run.about["study"]}
    return str(client.create_run(experiment_id, run_name=run.group, tags=tags).info.run_id)


def _close_lost_runs(client: MlflowClient, experiment_id: str, *, parent: str) -> None:
    """End the runs of trials whose process died: only the study knows what became of them."""
    running = client.search_runs([experiment_id], f"tags.`{PARENT}` = '{parent}' and attributes.status = 'RUNNING'")
    study = current_study()
    trials = study.get_trials(deepcopy=False) if study and running else []
    for run in running:
        trial = trials[int(run.data.tags["trial"])]
        if trial.state.is_finished() and run.data.tags["job"] == "trial":
            reason = trial.user_attrs.get(FAIL_REASON, "")
            _end(client, run.info.run_id, status=status_of(trial), reason=reason)


def log_outcome(logger: MLFlowLogger, outcome: Outcome) -> None:
    """Log the value, and end the run with its state and reason; the run of the search ends with its last trial."""
    client, run_id = logger.experiment, str(logger.run_id)
    if outcome.value is not None:
        client.log_metric(run_id, "value", outcome.value)
    _end(client, run_id, status=outcome.status, reason=outcome.reason)
    parent = client.get_run(run_id).data.tags.get(PARENT)
    if parent is not None:
        client.set_terminated(parent)


def _end(client: MlflowClient, run_id: str, *, status: str, reason: str) -> None:
    client.set_tag(run_id, "state", status)
    client.set_tag(run_id, "reason", reason[:MAX_TEXT])
    client.set_terminated(run_id, STATUS[status])


def as_names(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with names that MLflow accepts."""
    return {re.sub(r"[^\w.\- :/]", "_", name)[:MAX_NAME]: value for name, value in params.items()}
