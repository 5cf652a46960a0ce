"""Runs in MLflow: one per training, those of a search below a run of the search."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.tracking import MlflowClient
from omegaconf import DictConfig

from lightsweep.files import locked
from lightsweep.logger.run import Run
from lightsweep.storage.password import SQLITE
from lightsweep.trial.context import current_study
from lightsweep.trial.notices import is_first
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.status import FAIL_REASON, status_of

if TYPE_CHECKING:
    from pytorch_lightning.loggers import MLFlowLogger

FOLDER = "folder"  # the tag by which a later job finds the run of a search or of an interrupted trial
PARENT = "mlflow.parentRunId"
EXPERIMENT = "lightsweep"
MAX_TEXT = 5000
MAX_VALUE = 250  # Lightning cuts params
STATUS = {
    "complete": "FINISHED",
    "pruned": "KILLED",
    "interrupted": "KILLED",
    "failed": "FAILED",
    "infeasible": "FAILED",
}

log = logging.getLogger(__name__)


@contextmanager
def opening(node: DictConfig, run: Run) -> Iterator[dict[str, Any]]:
    """Yield the arguments with which the logger of this node opens its run, while no other process opens one.

    MLflow itself would create the tables of a new database, an experiment, or the run of the search several times.
    """
    uri = _uri(node)
    path = Path(uri.removeprefix(SQLITE))
    lock = path if uri.startswith(SQLITE) else (run.search or run.folder) / ".mlflow"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock.with_name(f"{lock.name}.lock")):
        yield {"tracking_uri": uri, **_arguments(MlflowClient(uri), node, run)}


def _uri(node: DictConfig) -> str:
    uri = node.get("tracking_uri") or os.environ.get("MLFLOW_TRACKING_URI")
    return uri or f"file:{node.get('save_dir') or './mlruns'}"


def _arguments(client: MlflowClient, node: DictConfig, run: Run) -> dict[str, Any]:
    if node.get("run_id"):
        return {}  # the user's own run
    name = node.get("experiment_name") or EXPERIMENT
    experiment_id = _experiment(client, name, artifact_location=node.get("artifact_location"))
    tags = {**(node.get("tags") or {}), **run.about, FOLDER: run.folder.as_uri()}
    if run.search is not None:
        tags[PARENT] = _open_parent(client, experiment_id, run)
        _close_lost_runs(client, experiment_id, parent=tags[PARENT])
    if run.is_trial and (earlier := _find(client, experiment_id, run.folder)):
        client.update_run(earlier.info.run_id, status="RUNNING")
        return {"experiment_name": name, "run_id": earlier.info.run_id}
    return {"experiment_name": name, "run_name": node.get("run_name") or run.name, "tags": tags}


def _experiment(client: MlflowClient, name: str, *, artifact_location: str | None) -> str:
    existing = client.get_experiment_by_name(name)
    return str(existing.experiment_id if existing else client.create_experiment(name, artifact_location))


def _find(client: MlflowClient, experiment_id: str, folder: Path) -> Any:
    """Return the run with this folder, None if there is none; a URI has no quotes, which the filter could not hold."""
    found = client.search_runs([experiment_id], f"tags.{FOLDER} = '{folder.as_uri()}'", max_results=1)
    return found[0] if found else None


def _open_parent(client: MlflowClient, experiment_id: str, run: Run) -> str:
    """Return the id of the run of the search, which runs until the driver ends it."""
    assert run.search is not None
    if found := _find(client, experiment_id, run.search):
        if found.info.status != "RUNNING":  # the search is resumed
            client.update_run(found.info.run_id, status="RUNNING")
        return str(found.info.run_id)
    tags = {FOLDER: run.search.as_uri(), "study": run.about["study"]}
    return str(client.create_run(experiment_id, run_name=run.group, tags=tags).info.run_id)


def _close_lost_runs(client: MlflowClient, experiment_id: str, *, parent: str) -> None:
    """End the runs of trials whose process died: only the study knows what became of them.

    Runs without the tags of a trial are the user's own.
    """
    running = client.search_runs([experiment_id], f"tags.`{PARENT}` = '{parent}' and attributes.status = 'RUNNING'")
    study = current_study()
    trials = study.get_trials(deepcopy=False) if study and running else []
    for run in running:
        number = run.data.tags.get("trial", "")
        trial = trials[int(number)] if number.isdecimal() and int(number) < len(trials) else None
        if trial and trial.state.is_finished() and run.data.tags.get("job") == "trial":
            reason = trial.user_attrs.get(FAIL_REASON, "")
            _end(client, run.info.run_id, status=status_of(trial), reason=reason)


def without_logged(logger: "MLFlowLogger", params: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what the run has, for example of a trial that goes on: MLflow refuses another value of a param."""
    run = logger.experiment.get_run(str(logger.run_id))
    logged = run.data.params
    changed = [
        name for name, value in params.items() if str(value)[:MAX_VALUE] != logged.get(name, str(value))[:MAX_VALUE]
    ]
    if changed and is_first("logger.mlflow.params"):
        log.warning("MLflow keeps the first values of %s in the run %s", ", ".join(changed), run.info.run_name)
    return {name: value for name, value in params.items() if name not in logged}


def log_outcome(logger: "MLFlowLogger", outcome: Outcome) -> None:
    """Log the value, and end the run with its state and reason."""
    client, run_id = logger.experiment, str(logger.run_id)
    if outcome.value is not None:
        client.log_metric(run_id, "value", outcome.value)
    _end(client, run_id, status=outcome.status, reason=outcome.reason)


def end_run_of_search(node: DictConfig, search: Path, *, status: str) -> None:
    """End the run of the search in this folder, if it has one that runs."""
    uri = _uri(node)
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).is_file():
        return  # no trial has started, and the client would create the database
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(node.get("experiment_name") or EXPERIMENT)
    run = experiment and _find(client, experiment.experiment_id, search)
    if run and run.info.status == "RUNNING":
        client.set_terminated(run.info.run_id, status)


def _end(client: MlflowClient, run_id: str, *, status: str, reason: str) -> None:
    client.set_tag(run_id, "state", status)
    client.set_tag(run_id, "reason", reason[:MAX_TEXT])
    client.set_terminated(run_id, STATUS[status])
