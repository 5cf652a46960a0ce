"""The runs in MLflow of a search: one per trial below one of the search, each ended with its status."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra.utils import execution_whitelist
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import MLFlowLogger

from lightsweep.config.targets import ALLOWED_TARGETS
from lightsweep.logger.run import Run
from lightsweep.logger.tracker import Tracker
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.status import FAIL_REASON

mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow uses what SQLAlchemy and pydantic have deprecated

TARGET = "pytorch_lightning.loggers.MLFlowLogger"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    """The node of a logger that writes to one database, which takes a second to create."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/new/mlflow.db"
    return OmegaConf.create({"_target_": TARGET, "experiment_name": "tests", "tracking_uri": uri})


def run_of(search: Path, part: str, *, trial: int, **hyperparameters: Any) -> Run:
    return Run(
        name=f"mlp-{part}",
        folder=search / part,
        hyperparameters={"model.depth": trial, **hyperparameters},
        about={"study": "mlp", "trial": str(trial), "job": "refit" if part == "best" else "trial"},
        group=f"mlp-{search.name}",
        search=search,
    )


def track(node: DictConfig, run: Run, outcome: Outcome | None) -> None:
    """Start a run, log a metric as Lightning does, and end the run; None leaves it as a process that was killed."""
    with execution_whitelist(ALLOWED_TARGETS):
        tracker = Tracker(node, "logger.mlflow", kind=MLFlowLogger, run=run)
    tracker.logger.log_metrics({"val/acc": 0.5}, step=1)
    if outcome is not None:
        tracker.logger.finalize("success")
        tracker.end(outcome)


def runs_in(node: DictConfig, search: Path) -> dict[str, Any]:
    client = mlflow.MlflowClient(node.tracking_uri)
    experiment = client.get_experiment_by_name("tests")
    runs = client.search_runs([experiment.experiment_id])
    runs = [run for run in runs if run.data.tags["folder"].startswith(search.as_uri())]
    assert len({run.info.run_name for run in runs}) == len(runs)
    return {run.info.run_name: run for run in runs}


@pytest.fixture
def search(tmp_path: Path, node: DictConfig, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a search whose study has a trial that failed without its job."""
    study = optuna.create_study()
    for _ in range(5):
        trial = study.ask()
    trial.set_user_attr(FAIL_REASON, "its worker was lost")
    study.tell(trial, state=optuna.trial.TrialState.FAIL)
    monkeypatch.setattr("lightsweep.logger.mlflow.current_study", lambda: study)
    return tmp_path / "it's"


def test_each_trial_has_one_run_that_ends_with_its_state(
    node: DictConfig, search: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    track(node, run_of(search, "0", trial=0), Outcome(value=0.75))
    track(node, run_of(search, "1", trial=1), Outcome(value=0.25, pruned="too low"))
    track(node, run_of(search, "2", trial=2), Outcome(failed="loss is nan", kind="diverged"))
    track(node, run_of(search, "3", trial=3), Outcome(interrupted=True))
    track(node, run_of(search, "4", trial=4), None)
    before = runs_in(node, search)
    track(node, run_of(search, "3", trial=3), Outcome(value=0.5))
    track(node, run_of(search, "best", trial=0, refit=True), Outcome(test_metrics={"test/acc": 0.7}))

    runs = runs_in(node, search)
    ended = {
        name: (run.info.status, run.data.tags.get("state"), run.data.tags.get("reason")) for name, run in runs.items()
    }
    assert ended == {
        "mlp-it's": ("FINISHED", None, None),
        "mlp-0": ("FINISHED", "complete", ""),
        "mlp-1": ("KILLED", "pruned", "too low"),
        "mlp-2": ("FAILED", "infeasible", "loss is nan"),
        "mlp-3": ("FINISHED", "complete", ""),
        "mlp-4": ("FAILED", "failed", "its worker was lost"),
        "mlp-best": ("FINISHED", "complete", ""),
    }
    parent = runs.pop("mlp-it's")
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    assert runs["mlp-3"].info.run_id == before["mlp-3"].info.run_id
    assert runs["mlp-1"].data.metrics == {"val/acc": 0.5, "value": 0.25}
    assert runs["mlp-1"].data.params == {"model.depth": "1"}
    assert {name: runs["mlp-1"].data.tags[name] for name in ("study", "trial")} == {"study": "mlp", "trial": "1"}
    assert "warning" not in capsys.readouterr().err


def test_names_and_values_that_mlflow_refuses_are_changed(
    node: DictConfig, search: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = {"data.kinds.Größe (cm)": "number", "long": "x" * 9000, "n" * 300: 1}
    track(node, run_of(search, "odd", trial=0, **odd), Outcome(failed="y" * 9000, kind="error"))
    run = runs_in(node, search)["mlp-odd"]
    assert run.data.params["data.kinds.Größe _cm_"] == "number"
    assert run.data.params["n" * 250] == "1"
    assert run.data.params["long"].startswith("xxx")
    assert run.data.tags["reason"].startswith("yyy")
    assert "warning" not in capsys.readouterr().err
