"""Exported files compute what the model computes, in batches of any size; others are deleted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra.utils
import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

import lightsweep.export.formats
from lightsweep.config.targets import ALLOWED_TARGETS
from lightsweep.data.splits import Scaler
from lightsweep.data.target import Target
from lightsweep.export.formats import FILES, METADATA, export_model
from lightsweep.export.inference import InferenceModel
from lightsweep.model.construction import build_model, stored_attributes
from lightsweep.task import Task
from tests.conftest import CONF

CLASSES = Target(task=Task.MULTICLASS, names=("target",), classes=("a", "b", "c"))
SCALER = Scaler(mean=np.array([5.0, -3.0], dtype=np.float32), std=np.array([2.0, 100.0], dtype=np.float32))
PRICES = Target(task=Task.REGRESSION, names=("price", "weight"), scaler=SCALER)

EVERY_OPTION = {
    "layer_sizes": [8, 8],
    "normalization": "batch",
    "residual": True,
    "number_embedding": "periodic",
    "activation": "gelu",
}


def build_inference_model(target: Target, *, scaler: Scaler | None = None, **settings: Any) -> InferenceModel:
    torch.manual_seed(0)
    node = OmegaConf.merge(OmegaConf.load(CONF / "model" / "mlp.yaml"), {"hidden_size": 8, **settings})
    assert isinstance(node, DictConfig)
    data = stored_attributes(
        d_in=2, n_numbers=1 if settings else 2, cardinalities=(3,) if settings else (), target=target
    )
    with hydra.utils.execution_whitelist(ALLOWED_TARGETS):
        return InferenceModel(build_model(node, data=data, optimizer=None), target, scaler=scaler)


def run_torch(path: Path) -> Callable[[Tensor], Tensor]:
    return torch.export.load(path).module()


def run_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


@pytest.mark.parametrize(
    ("name", "target", "scaler", "settings", "run"),
    [("torch", CLASSES, SCALER, {}, run_torch), ("onnx", PRICES, None, EVERY_OPTION, run_onnx)],
)
def test_an_export_computes_what_the_model_does(
    name: str, target: Target, scaler: Scaler | None, settings: dict[str, Any], run: Any, tmp_path: Path
) -> None:
    if name == "onnx":
        pytest.importorskip("onnxscript")
    model, x = (
        build_inference_model(target, scaler=scaler, **settings),
        torch.tensor([[i / 2, i % 3] for i in range(7)]),
    )
    [export] = export_model(tmp_path, formats=[name], model=model, x=x, metadata={"columns": ["h", "w"]})
    assert export.is_kept, export.message
    path = tmp_path / FILES[name]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    computed = run(path)
    for n in (1, 3, 7):
        torch.testing.assert_close(computed(x[:n]), model.eval()(x[:n]), rtol=1e-4, atol=1e-4)
    if name == "torch":
        files = {METADATA: ""}
        torch.export.load(path, extra_files=files)
        metadata = files[METADATA]
    else:
        session = pytest.importorskip("onnxruntime").InferenceSession(path)
        metadata = session.get_modelmeta().custom_metadata_map[METADATA]
    assert json.loads(metadata) == {"columns": ["h", "w"]}


class BranchesOnValues(nn.Module):
    """Control flow that depends on values, which torch.export refuses."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum().item() > 0 else -x


class ReturnsNan(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.log()


@pytest.mark.parametrize(
    ("model", "tolerance", "message"),
    [
        (nn.Identity(), -1.0, "no model.pt2, because it differs by 0.0e+00 of a probability"),
        (ReturnsNan(), 1e-4, "no model.pt2, because it differs by nan"),
        (BranchesOnValues(), 1e-4, "no model.pt2, because of "),
    ],
)
def test_an_export_that_fails_or_differs_is_deleted(
    model: nn.Module, tolerance: float, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lightsweep.export.formats, "TOLERANCE", tolerance)
    (tmp_path / FILES["torch"]).write_text("of an earlier refit")
    inference_model, x = InferenceModel(model, CLASSES), -torch.ones(3, 3)
    [export] = export_model(tmp_path, formats=["torch"], model=inference_model, x=x, metadata={})
    assert not export.is_kept
    assert export.message.startswith(message)
    assert not list(tmp_path.iterdir())
