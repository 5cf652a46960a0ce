"""The runs in MLflow of a search: one per trial below one of the search, each ended with its status."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra.utils import execution_whitelist
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import MLFlowLogger

from lightsweep.config.targets import ALLOWED_TARGETS
from lightsweep.logger.run import Run
from lightsweep.logger.search_run import ending_run_of_search
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
        tracker.start()
    tracker.logger.log_metrics({"val/acc": 0.5}, step=1)
    if outcome is not None:
        tracker.logger.finalize("success")
        tracker.end(outcome)


def runs_in(node: DictConfig, search: Path) -> dict[str, Any]:
    client = mlflow.MlflowClient(node.tracking_uri)
    experiment = client.get_experiment_by_name("tests")
    runs = client.search_runs([experiment.experiment_id])
    runs = [run for run in runs if run.data.tags.get("folder", "").startswith(search.as_uri())]
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
        "mlp-it's": ("RUNNING", None, None),
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


def test_the_run_of_a_search_runs_until_the_search_ends(node: DictConfig, search: Path) -> None:
    cfg = OmegaConf.create({"logger": {"csv": None, "mlflow": node}})
    statuses = []
    for error in (None, ValueError, KeyboardInterrupt, None):  # each search resumes the one before
        with pytest.raises(error) if error else nullcontext(), ending_run_of_search(lambda: cfg, search):
            track(node, run_of(search, "0", trial=0), Outcome(value=0.5))
            statuses.append(runs_in(node, search)["mlp-it's"].info.status)
            if error:
                raise error
        statuses.append(runs_in(node, search)["mlp-it's"].info.status)
    assert statuses == ["RUNNING", "FINISHED", "RUNNING", "FAILED", "RUNNING", "KILLED", "RUNNING", "FINISHED"]


def test_a_search_without_a_run_ends_without_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for logger in ({"mlflow": {"_target_": TARGET, "tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"}}, {}, None, True):
        with ending_run_of_search(lambda logger=logger: OmegaConf.create({"logger": logger}), tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""


def test_a_server_that_is_down_when_the_search_ends_is_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    node = {"_target_": TARGET, "tracking_uri": "http://127.0.0.1:9"}
    with ending_run_of_search(lambda: OmegaConf.create({"logger": {"mine": node}}), tmp_path):
        pass
    assert capsys.readouterr().err.startswith("warning: logger.mine is down; trainings go on without it: MlflowExc")


@pytest.mark.parametrize(
    "tags", [{}, {"trial": "4"}, {"trial": "mine", "job": "trial"}, {"trial": "99", "job": "trial"}]
)
def test_a_run_of_the_user_below_that_of_the_search_is_left_alone(
    tags: dict[str, str], node: DictConfig, search: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    track(node, run_of(search, "0", trial=0), Outcome(value=0.5))
    parent = runs_in(node, search)["mlp-it's"].info
    client = mlflow.MlflowClient(node.tracking_uri)
    own = client.create_run(parent.experiment_id, tags={"mlflow.parentRunId": parent.run_id, **tags}).info.run_id
    track(node, run_of(search, "1", trial=1), Outcome(value=0.5))
    assert client.get_run(own).info.status == "RUNNING"
    assert runs_in(node, search)["mlp-1"].info.status == "FINISHED"
    assert "warning" not in capsys.readouterr().err


def test_a_trial_that_goes_on_with_other_parameters_keeps_the_first_ones(
    node: DictConfig, search: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    long = "x" * 400
    track(node, run_of(search, "3", trial=3, lr=0.1, long=long), Outcome(interrupted=True))
    track(node, run_of(search, "3", trial=3, lr=0.2, long=long, new=1), Outcome(value=0.75))
    run = runs_in(node, search)["mlp-3"]
    assert (run.data.params["lr"], run.data.params["new"], run.info.status) == ("0.1", "1", "FINISHED")
    assert run.data.metrics == {"val/acc": 0.5, "value": 0.75}
    assert caplog.messages == ["MLflow keeps the first values of lr in the run mlp-3"]
    assert "warning" not in capsys.readouterr().err
