"""The files that a refit writes."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lightsweep.data.preprocessing import PREPROCESSING
from lightsweep.export.model_folder import VALIDATION, validation_metrics
from lightsweep.export.predictor import CONFIG, METRICS, WEIGHTS
from lightsweep.model.objectives import METRICS as TASK_METRICS
from lightsweep.task import Task
from tests.command import Ran
from tests.export.conftest import N_EPOCHS

FILES = {WEIGHTS, CONFIG, PREPROCESSING, METRICS, "model_card.md", "confusion_matrix.svg"}
LOGS = {"result.yaml", "train.log", "csv", ".hydra"}


@pytest.mark.slow
def test_a_refit_writes_the_model_and_reports_its_test_metrics(refit: tuple[Path, Ran]) -> None:
    folder, ran = refit
    assert {path.name for path in folder.iterdir()} == FILES | LOGS  # no checkpoint, no temporary file
    metrics = json.loads((folder / METRICS).read_text())
    assert set(metrics) == {f"test/{name}" for name in TASK_METRICS[Task.MULTICLASS]}
    [line] = ran.out.splitlines()
    assert line.startswith(f"test/acc {metrics['test/acc']:.4f}, ")
    assert " after 2 epochs" in line
    result = OmegaConf.load(folder / "result.yaml")
    assert (result.value, result.n_epochs) == (None, N_EPOCHS)
    assert dict(result.test_metrics) == metrics


@pytest.mark.slow
def test_the_written_config_is_resolved(refit: tuple[Path, Ran]) -> None:
    text = (refit[0] / CONFIG).read_text()
    assert "${" not in text
    assert OmegaConf.create(text).model.hidden_size == 128


def test_the_card_has_the_validation_metrics_of_the_best_epoch(tmp_path: Path) -> None:
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "metrics.csv").write_text(
        "epoch,step,train/loss,val/acc,val/loss\n0,9,,0.5,1\n0,9,1.5,,\n1,19,,0.75,0.5\n1,19,0.7,,\n2,29,,0.25,2\n"
    )
    search = {"best_folder": str(tmp_path), "best_epoch": 1}
    assert validation_metrics(search) == {VALIDATION: {"test/acc": 0.75, "test/loss": 0.5}}
    assert validation_metrics({**search, "best_folder": None}) == validation_metrics({}) == {}
