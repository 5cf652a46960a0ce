"""What the trackers hold after searches of the real command: read back from their own files, offline."""

from pathlib import Path
from typing import Any

import pytest

from tests.command import FAULTY, FIXED, SMALL, TRUST, start, succeed, the_folder
from tests.logger.events import hyperparameters_in, metrics_in, wandb_run_in

for package in ("mlflow", "tensorboard", "wandb"):
    pytest.importorskip(package, reason=f"the extra {package} is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # MLflow uses what SQLAlchemy and pydantic have deprecated
]

STATES = {8: "pruned", 16: "failed", 24: "infeasible", 64: "complete"}  # by the size of a `TrackedClassifier`
SEARCH = (
    "hparams_search=mlp",
    *SMALL,
    *FIXED,
    "model.hidden_size=choice(8,16,24,64)",
    "hydra/sweeper/sampler=grid",
    "hydra.sweeper.n_trials=4",
)


def mlflow_runs_in(cwd: Path) -> dict[str, Any]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{cwd}/outputs/mlflow.db")
    experiment = client.get_experiment_by_name("lightsweep")
    assert experiment is not None
    return {str(run.info.run_name): run for run in client.search_runs([experiment.experiment_id])}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search with two workers and every tracker, whose four trials end in four ways."""
    cwd = tmp_path_factory.mktemp("search")
    ran = succeed(
        *SEARCH,
        FAULTY.replace("FaultyClassifier", "TrackedClassifier"),
        "hydra/sweeper/pruner=threshold",
        "hydra.sweeper.pruner.n_warmup_steps=0",
        "hydra/launcher=processes",
        "hydra.sweeper.n_jobs=2",
        "logger=[csv,tensorboard,mlflow,wandb]",
        "logger.wandb.offline=true",
        cwd=cwd,
        WANDB_SILENT="true",
        **TRUST,
    )
    assert "warning" not in ran.err.replace("warning: fixed on the command line", "")
    return the_folder(cwd)


def sizes_by_trial(folder: Path) -> dict[str, int]:
    runs = mlflow_runs_in(folder.parents[2])
    return {name: int(runs[f"mlp-{name}"].data.params["model.hidden_size"]) for name in map(str, range(4))}


def test_mlflow_has_one_run_per_trial_and_one_of_the_model_below_that_of_the_search(folder: Path) -> None:
    runs = mlflow_runs_in(folder.parents[2])
    assert set(runs) == {"mlp-0", "mlp-1", "mlp-2", "mlp-3", "mlp-best", f"mlp-{folder.name}"}
    parent = runs.pop(f"mlp-{folder.name}")
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    assert parent.info.status == "FINISHED"
    best = runs.pop("mlp-best")
    assert best.data.metrics["test/acc"] > 0.4
    assert best.info.status == "FINISHED"
    states = {int(run.data.params["model.hidden_size"]): run.data.tags["state"] for run in runs.values()}
    assert states == STATES
    statuses = {run.data.tags["state"]: run.info.status for run in runs.values()}
    assert statuses == {"pruned": "KILLED", "failed": "FAILED", "infeasible": "FAILED", "complete": "FINISHED"}


def test_the_hyperparameters_of_a_module_do_not_replace_those_of_the_config(folder: Path) -> None:
    for run in mlflow_runs_in(folder.parents[2]).values():
        if run.data.params:  # the run of the search has none
            assert run.data.params["seed"] == "42"
            assert run.data.params["optimizer"] == "mine"
            assert run.data.params["optimizer.lr"] == "0.01"
            assert run.data.params["depth.levels _n_"] == "2"


def test_the_hparams_tab_of_tensorboard_has_a_row_per_trial(folder: Path) -> None:
    for name, size in sizes_by_trial(folder).items():
        events = folder / name / "tensorboard"
        hyperparameters = hyperparameters_in(events)
        assert next(iter(hyperparameters)) == "model.hidden_size"
        assert hyperparameters["model.hidden_size"] == size
        assert (hyperparameters["study"], hyperparameters["trial"]) == ("mlp", name)
        assert hyperparameters["state"] == STATES[size]
        value = metrics_in(events, ["hp_metric"])["hp_metric"]
        assert (value > 0.4) is (STATES[size] == "complete")
    assert metrics_in(folder / "best" / "tensorboard", ["test/acc"])["test/acc"] > 0.4


def test_wandb_has_one_run_per_trial_grouped_by_search(folder: Path) -> None:
    for name, size in sizes_by_trial(folder).items():
        run = wandb_run_in(folder / name)
        assert (run["name"], run["group"]) == (f"mlp-{name}", f"mlp-{folder.name}")
        assert run["exit_code"] == (0 if STATES[size] in ("complete", "pruned") else 1)
        assert run["config"]["model.hidden_size"] == size
        assert (run["config"]["study"], run["config"]["seed"]) == ("mlp", 42)
        assert run["summary"]["state"] == STATES[size]
        assert ("value" in run["summary"]) is (STATES[size] in ("complete", "pruned"))
    best = wandb_run_in(folder / "best")
    assert best["name"] == "mlp-best"
    assert best["summary"]["test/acc"] > 0.4


def test_a_tracker_that_is_down_is_one_warning_per_search(tmp_path: Path) -> None:
    ran = succeed(
        *SEARCH,
        "hydra/launcher=processes",
        "hydra.sweeper.n_jobs=2",
        "logger=[csv,mlflow]",
        "logger.mlflow.tracking_uri=http://127.0.0.1:9",
        cwd=tmp_path,
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
    )
    assert "4 complete" in ran.out
    [warning] = [line for line in ran.err.splitlines() if "logger.mlflow" in line]
    assert warning.startswith("warning: logger.mlflow is down; trainings go on without it: MlflowException: ")
    assert "Connection refused" in warning


def test_two_single_runs_at_once_share_a_new_database(tmp_path: Path) -> None:
    settings = (*SMALL, "verbose=false", "logger=mlflow")
    processes = [start(*settings, f"hydra.run.dir=runs/{name}", cwd=tmp_path) for name in "ab"]
    for process in processes:
        _, err = process.communicate(timeout=240)
        assert (process.returncode, err) == (0, "")
    runs = mlflow_runs_in(tmp_path)
    assert {name: run.info.status for name, run in runs.items()} == {"runs-a": "FINISHED", "runs-b": "FINISHED"}
