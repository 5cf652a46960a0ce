"""The files that a refit writes."""

import json
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as L
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightsweep.data.preprocessing import PREPROCESSING
from lightsweep.data.synthetic import Synthetic
from lightsweep.export.model_folder import evaluate_and_export, validation_metrics
from lightsweep.export.predictor import CONFIG, METRICS, WEIGHTS
from lightsweep.model.objectives import METRICS as TASK_METRICS
from lightsweep.task import Task
from tests.command import Ran
from tests.export.conftest import N_EPOCHS

FILES = {WEIGHTS, CONFIG, PREPROCESSING, METRICS, "model_card.md", "confusion_matrix.svg"}
LOGS = {"result.yaml", "train.log", "csv", ".hydra", "environment.json"}


@pytest.mark.slow
def test_a_refit_writes_the_model_and_reports_its_test_metrics(refit: tuple[Path, Ran]) -> None:
    folder, ran = refit
    names = {path.name for path in folder.iterdir()} - {"code.diff"}  # if the code has changes
    assert names == FILES | LOGS  # no checkpoint, no temporary file
    metrics = json.loads((folder / METRICS).read_text())
    assert set(metrics) == {f"test/{name}" for name in TASK_METRICS[Task.MULTICLASS]}
    [line] = ran.out.splitlines()
    assert line.startswith(f"test/acc {metrics['test/acc']:.4f} (95 % interval ")
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
    assert validation_metrics(search) == {"test/acc": 0.75, "test/loss": 0.5}
    assert validation_metrics({**search, "best_folder": None}) == validation_metrics({}) == {}


class Module(L.LightningModule):
    """A module of a user, without `forward`."""

    def __init__(self, d_in: int, *, fails: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(d_in, 1)
        self.fails = fails

    def test_step(self, batch: list[Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        if self.fails:
            raise ValueError("this step does not work")
        self.log("test/mean", self.layer(batch[0].float()).mean())


class NoTest(L.LightningModule):
    def __init__(self, d_in: int) -> None:
        super().__init__()
        self.layer = nn.Linear(d_in, 1)


class Data(L.LightningDataModule):
    def __init__(self, loaders: Any) -> None:
        super().__init__()
        self.loaders = loaders

    def test_dataloader(self) -> Any:
        return self.loaders


@pytest.fixture
def exported(tmp_path: Path, quiet_trainer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that exports a model, and returns its metrics."""
    hydra = OmegaConf.create({"runtime": {"output_dir": str(tmp_path)}})
    monkeypatch.setattr(HydraConfig, "get", staticmethod(lambda: hydra))
    monkeypatch.setattr("lightsweep.export.model_folder.folder_of_search", lambda: None)
    cfg = OmegaConf.create({"seed": 1, "model": {}, "data": {}, "export": []})

    def export(model: L.LightningModule, data: Any) -> dict[str, float]:
        metrics, _ = evaluate_and_export(cfg, trainer=L.Trainer(**quiet_trainer, logger=False), model=model, data=data)
        assert json.loads((tmp_path / METRICS).read_text()) == metrics
        assert {WEIGHTS, CONFIG, "model_card.md"} <= {path.name for path in tmp_path.iterdir()}
        return metrics

    return export


LOADER = DataLoader(TensorDataset(torch.zeros(4, 2)), batch_size=2)


@pytest.mark.parametrize(
    ("model", "loaders", "reason"),
    [
        (Module(2, fails=True), LOADER, "ValueError: this step does not work"),
        (Module(3), LOADER, "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (Module(2), None, "TypeError: "),
        (NoTest(2), LOADER, "MisconfigurationException: No `test_step()` method defined"),
    ],
)
def test_an_error_of_the_test_is_said_and_costs_its_metrics_alone(
    model: L.LightningModule, loaders: Any, reason: str, exported: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exported(model, Data(loaders)) == {}
    assert capsys.readouterr().err.startswith(f"warning: the model was not tested: {reason}")


def test_the_metrics_are_those_of_all_test_loaders(exported: Any) -> None:
    assert exported(Module(2), Data([LOADER, LOADER])).keys() == {
        "test/mean/dataloader_idx_0",
        "test/mean/dataloader_idx_1",
    }
    assert exported(Module(2), Data([])) == {}


@pytest.mark.parametrize("model", [Module(5), Module(5, fails=True), NoTest(5)])
def test_a_module_without_forward_costs_its_picture_alone(
    model: L.LightningModule, exported: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = Synthetic(n_samples=90, n_features=5, n_classes=2, batch_size=8, shuffle=True, seed=0, refit=True)
    metrics = exported(model, data)
    assert (tmp_path / PREPROCESSING).is_file()
    err = capsys.readouterr().err
    assert err.count("warning: the model card has no picture of the errors, and `load` will not predict: Not") == 1
    assert err.count("warning: the model was not tested") == (0 if metrics else 1)
