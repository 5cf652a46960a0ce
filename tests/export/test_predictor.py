"""An exported model of arrays: loaded to predict raw features, and refused if its folder is damaged or unsafe."""

import copy
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

import lightsweep
from lightsweep.data.digits import Digits
from lightsweep.data.preprocessing import PREPROCESSING
from lightsweep.errors import ConfigError
from lightsweep.export import predictor
from lightsweep.export.predictor import CONFIG, METRICS, WEIGHTS, Predictor
from tests.command import Ran
from tests.export.conftest import SEED

pytestmark = pytest.mark.slow

Rows = tuple[np.ndarray, np.ndarray]  # features and labels
FILES = (WEIGHTS, CONFIG, PREPROCESSING, METRICS)


@pytest.fixture(scope="module")
def model(refit: tuple[Path, Ran]) -> Predictor:
    return lightsweep.load(refit[0])


@pytest.fixture
def copied(refit: tuple[Path, Ran], tmp_path: Path) -> Path:
    """A copy of the folder that a test may damage."""
    return Path(shutil.copytree(refit[0], tmp_path / "copied"))


@pytest.fixture(scope="module")
def test_rows() -> Rows:
    """The test split of the refit, unscaled: integers from 0 to 16."""
    data = Digits(batch_size=64, shuffle=False, seed=SEED, refit=True)
    x, y = data.splits.test
    return (x.numpy() * data.scaler.std + data.scaler.mean).round(), y.numpy()


def test_the_predictor_agrees_with_the_metrics_of_the_test_split(model: Predictor, test_rows: Rows) -> None:
    x, y = test_rows
    assert len(y) == 359
    accuracy = np.mean(model.predict(x) == y)
    assert accuracy == pytest.approx(model.metrics["test/acc"], abs=1e-6)
    assert accuracy > 0.7  # ten classes: guessing gives 0.1
    loss = -np.log(model.predict_proba(x)[np.arange(len(y)), y]).mean()
    assert loss == pytest.approx(model.metrics["test/loss"], rel=1e-4)


def test_probabilities_sum_to_one_and_the_largest_is_the_prediction(model: Predictor, test_rows: Rows) -> None:
    x, _ = test_rows
    p = model.predict_proba(x)
    assert p.shape == (len(x), 10)
    assert p.dtype == np.float32
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert (model.predict(x) == np.asarray(model.classes)[p.argmax(axis=1)]).all()


def test_predicting_twice_or_row_by_row_gives_the_same(model: Predictor, test_rows: Rows) -> None:
    """Dropout is off, and the other rows of a batch have no influence."""
    x = test_rows[0][:5]
    p = model.predict_proba(x)
    assert (model.predict_proba(x) == p).all()
    np.testing.assert_allclose(np.concatenate([model.predict_proba(row[None]) for row in x]), p, atol=1e-6)


@pytest.mark.parametrize("n", [1, 4095, 4096, 4097, 8193])
def test_any_number_of_rows_is_predicted_in_order(n: int, model: Predictor, test_rows: Rows) -> None:
    x = np.resize(test_rows[0], (n, 64))
    whole = model.predict(test_rows[0])
    assert (model.predict(x) == np.resize(whole, n)).all()


@pytest.mark.parametrize("kind", [np.int64, np.float64, np.uint8, list])
def test_rows_of_any_numeric_type_are_predicted_and_not_changed(kind: Any, model: Predictor, test_rows: Rows) -> None:
    rows = test_rows[0][:4]
    x = rows.tolist() if kind is list else rows.astype(kind)
    before = np.array(x, copy=True)
    assert (model.predict(x) == model.predict(rows)).all()
    assert (np.asarray(x) == before).all()


def test_a_model_with_damaged_weights_predicts_nothing(model: Predictor) -> None:
    damaged = copy.deepcopy(model)
    with torch.no_grad():
        next(damaged.model.parameters()).fill_(float("nan"))
    with pytest.raises(ConfigError, match=r"model\.pt: the model gives values that are not finite for 2 of 2 rows"):
        damaged.predict(np.zeros((2, 64)))


def test_features_that_are_not_numbers_are_refused(model: Predictor) -> None:
    with pytest.raises(ValueError, match="could not convert string to float"):
        model.predict([["a"] * 64])


def test_a_copied_folder_predicts_the_same(copied: Path, model: Predictor, test_rows: Rows) -> None:
    moved = lightsweep.load(str(copied))
    assert (moved.predict_proba(test_rows[0]) == model.predict_proba(test_rows[0])).all()
    assert moved.classes == tuple(range(10))
    assert not moved.model.training


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_reported_with_the_command_that_writes_one(name: str, copied: Path) -> None:
    (copied / name).unlink()
    with pytest.raises(ConfigError, match=f"holds no {name}, so it is not the folder of an exported model.*refit=true"):
        lightsweep.load(copied)
    with pytest.raises(ConfigError, match=r"nowhere holds no model\.pt"):
        lightsweep.load(copied / "nowhere")


def edit(text: str, **changes: Any) -> str:
    return json.dumps({key: value for key, value in {**json.loads(text), **changes}.items() if value is not None})


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (WEIGHTS, lambda text: text[:100]),
        (WEIGHTS, lambda text: b""),
        (PREPROCESSING, lambda text: text[: len(text) // 2]),
        (PREPROCESSING, lambda text: b"\xff\xfe\x00"),
        (PREPROCESSING, lambda text: b"[]"),
        (PREPROCESSING, lambda text: edit(text, mean=None).encode()),
        (PREPROCESSING, lambda text: edit(text, mean=["a"] * 64).encode()),
        (PREPROCESSING, lambda text: edit(text, mean=[0.0] * 63, std=[1.0] * 63).encode()),
        (PREPROCESSING, lambda text: edit(text, target={"task": "binary"}).encode()),
        (PREPROCESSING, lambda text: text.replace(b", 8, 9]", b"]")),
        (METRICS, lambda text: text[:-5]),
        (CONFIG, lambda text: b""),
        (CONFIG, lambda text: text.replace(b"hidden_size: 128", b"hidden_size: 64")),
        (CONFIG, lambda text: text.replace(b"hidden_size: 128", b"hidden_size: ${nowhere}")),
        (CONFIG, lambda text: text.replace(b"activation: relu", b"activation: rellu")),
        (CONFIG, lambda text: text.replace(b"n_layers: 2", b"depth: 2")),
        (CONFIG, lambda text: text.replace(b"n_layers: 2", b"n_layers: 2\n  n_layers: [")),
        (CONFIG, lambda text: b"\x00\x01\x02"),
        (CONFIG, lambda text: b"- a\n- list\n"),
        (CONFIG, lambda text: b"model:\n"),
        (CONFIG, lambda text: b"model: {_target_: torch.nn.ReLU}\n"),
    ],
)
def test_a_damaged_file_is_a_config_error(name: str, damage: Callable[[bytes], bytes], copied: Path) -> None:
    before = (copied / name).read_bytes()
    (copied / name).write_bytes(damage(before))
    assert (copied / name).read_bytes() != before
    with pytest.raises(ConfigError):
        lightsweep.load(copied)


class Touches:
    """Unpickling an instance runs a command that creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("how", ["torch.save", "legacy torch.save", "pickle.dump"])
def test_weights_with_code_are_refused_and_the_code_does_not_run(how: str, copied: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    thing = {"net.layers.0.weight": Touches(touched)}
    if how == "pickle.dump":
        (copied / WEIGHTS).write_bytes(pickle.dumps(thing, protocol=2))
    else:
        torch.save(thing, copied / WEIGHTS, _use_new_zipfile_serialization=how == "torch.save")
    with pytest.raises(ConfigError, match=r"holds more than tensors, which could be code, so it is not loaded\.$"):
        lightsweep.load(copied)
    assert not touched.exists()


FROM_CHECKPOINT = {"checkpoint_path": "{checkpoint}", "weights_only": False}


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "os.system", "command": "touch '{touched}'"},
        {"_target_": "lightsweep.cli.app.os.system", "command": "touch '{touched}'"},
        {"_target_": "subprocess.run", "args": "touch '{touched}'", "shell": True},
        {"n_layers": {"_target_": "os.system", "command": "touch '{touched}'"}},
        {"_target_": "builtins.exec", "_args_": ["open('{touched}', 'w')"]},
        {"_target_": "lightsweep.model.module.MLPModule.load_from_checkpoint", **FROM_CHECKPOINT},
        {"n_layers": {"_target_": "pytorch_lightning.LightningModule.load_from_checkpoint", **FROM_CHECKPOINT}},
    ],
)
@pytest.mark.filterwarnings("ignore")  # Lightning's, while it opens the checkpoint
def test_a_config_that_names_a_command_is_refused_and_the_command_does_not_run(
    node: dict[str, Any], copied: Path, tmp_path: Path
) -> None:
    touched, checkpoint = tmp_path / "touched", tmp_path / "unsafe.ckpt"
    torch.save({"state_dict": Touches(touched), "pytorch-lightning_version": "2.6.0"}, checkpoint)
    cfg = OmegaConf.load(copied / CONFIG)
    text = json.dumps(node).replace("{touched}", str(touched)).replace("{checkpoint}", str(checkpoint))
    OmegaConf.update(cfg, "model", json.loads(text), merge="_target_" not in node, force_add=True)
    OmegaConf.save(cfg, copied / CONFIG)
    with pytest.raises(ConfigError):
        lightsweep.load(copied)
    assert not touched.exists()


def test_a_module_that_is_not_trusted_is_not_imported(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copied / "foreign.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(copied)
    (copied / CONFIG).write_text("model: {_target_: foreign.Model}\n")
    with pytest.raises(ConfigError, match=r"model\._target_ is 'foreign\.Model', which is not on the allowlist"):
        lightsweep.load(copied)


def test_a_module_that_is_not_on_the_path_is_reported_once(
    copied: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(predictor, "ALLOWED_TARGETS", ("nowhere_to_be.*",))
    (copied / CONFIG).write_text("model: {_target_: nowhere_to_be.Model}\n")
    message = r"^config\.yaml: model\._target_ is 'nowhere_to_be\.Model', but .*PYTHONPATH="
    with pytest.raises(ConfigError, match=message):
        lightsweep.load(copied)
    assert caplog.messages == []
