"""MLPModule in a real trainer: it learns, and logs the metrics of all rows."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as L
import torch
import torch.nn.functional as F
from torch import nn

from lightsweep.data.batches import TensorBatches
from lightsweep.data.splits import Scaler
from lightsweep.errors import ConfigError
from lightsweep.model.module import MLPModule
from lightsweep.task import Task
from tests.model.modules import settings


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def classifier(**changes: Any) -> MLPModule:
    return MLPModule(**settings(**{"hidden_size": 16, **changes}))


def three_clusters(n: int, *, batch_size: int = 32) -> TensorBatches:
    """Points in three clusters, which a small network separates."""
    labels = torch.arange(n) % 3
    corners = torch.tensor([[0.0, 3.0], [3.0, -2.0], [-3.0, -2.0]])
    return TensorBatches(corners[labels] + torch.randn(n, 2), labels, batch_size=batch_size, shuffle_seed=None)


def unbalanced(n: int, *, batch_size: int) -> TensorBatches:
    """Nine rows in ten are of class 0, so that accuracy and balanced accuracy differ."""
    labels = torch.where(torch.arange(n) % 10 == 9, 1, 0)
    return TensorBatches(torch.randn(n, 2), labels, batch_size=batch_size, shuffle_seed=None)


class RecordLoss(L.Callback):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.losses.append(trainer.callback_metrics["train/loss"].item())


@pytest.fixture
def trainer(quiet_trainer: dict[str, Any]) -> Iterator[L.Trainer]:
    return L.Trainer(**quiet_trainer, max_epochs=8, logger=False, callbacks=[RecordLoss()])


def test_label_smoothing_in_a_regression_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"model\.label_smoothing is 0\.1, but the task of the data is regression"):
        MLPModule(**settings(task=Task.REGRESSION, label_smoothing=0.1))


def test_training_lowers_the_loss_and_separates_the_classes(trainer: L.Trainer) -> None:
    model, data = classifier(), three_clusters(300)
    untrained = F.cross_entropy(model(data.x), data.y).item()
    trainer.fit(model, data, three_clusters(90))
    [losses] = [c.losses for c in trainer.callbacks if isinstance(c, RecordLoss)]
    assert losses[-1] < losses[0] < untrained
    assert losses[-1] < 0.2 * untrained
    assert trainer.callback_metrics["val/acc"] > 0.95


def test_it_logs_exactly_these_metrics(trainer: L.Trainer) -> None:
    model = classifier()
    trainer.fit(model, three_clusters(60), three_clusters(30))
    names = ("loss", "acc", "f1_macro", "auroc", "balanced_acc")
    assert set(trainer.callback_metrics) == {"train/loss", *(f"val/{name}" for name in names)}
    [tested] = trainer.test(model, three_clusters(30), verbose=False)
    assert set(tested) == {f"test/{name}" for name in names}


@pytest.mark.parametrize("batch_size", [200, 32, 7])  # the last batch is shorter and must weigh less
@pytest.mark.parametrize("split", ["val", "test"])
def test_accuracy_and_loss_are_those_of_all_rows(split: str, batch_size: int, trainer: L.Trainer) -> None:
    model = classifier(d_out=2).eval()
    data = unbalanced(200, batch_size=batch_size)
    evaluate = trainer.validate if split == "val" else trainer.test
    [logged] = evaluate(model, data, verbose=False)
    with torch.inference_mode():
        logits = model(data.x)
    accuracy = (logits.argmax(dim=1) == data.y).float().mean().item()
    assert 0.0 < accuracy < 1.0
    assert logged[f"{split}/acc"] == pytest.approx(accuracy, abs=1e-6)
    assert logged[f"{split}/loss"] == pytest.approx(F.cross_entropy(logits, data.y).item(), rel=1e-5)


def test_the_training_loss_is_the_mean_over_all_rows(quiet_trainer: dict[str, Any]) -> None:
    model = classifier(d_out=2, optimizer=partial(torch.optim.SGD, lr=0.0))  # the weights stay the same
    data = unbalanced(50, batch_size=20)
    L.Trainer(**quiet_trainer, max_epochs=1, logger=False, callbacks=[recorded := RecordLoss()]).fit(model, data, data)
    with torch.inference_mode():
        assert recorded.losses == pytest.approx([F.cross_entropy(model(data.x), data.y).item()], rel=1e-5)


def test_metrics_are_reset_before_each_evaluation(trainer: L.Trainer) -> None:
    model, data = classifier(), three_clusters(90)
    trainer.fit(model, data, data)
    wrong = TensorBatches(data.x, (data.y + 1) % 3, batch_size=32, shuffle_seed=None)
    assert trainer.callback_metrics["val/acc"] > 0.9
    [with_wrong_labels] = trainer.validate(model, wrong, verbose=False)
    assert with_wrong_labels["val/acc"] < 0.1


def regression_rows(n: int, *, n_targets: int = 1) -> TensorBatches:
    x = torch.randn(n, 2)
    return TensorBatches(x, torch.stack([x.sum(dim=1), x[:, 0]][:n_targets], dim=1), batch_size=32, shuffle_seed=None)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_a_regression_learns_and_logs_its_own_metrics(n_targets: int, trainer: L.Trainer) -> None:
    scaler = Scaler(mean=np.zeros(n_targets, np.float32), std=np.full(n_targets, 10, np.float32))
    model = classifier(task=Task.REGRESSION, d_out=n_targets, target_scaler=scaler)
    data = regression_rows(300, n_targets=n_targets)
    trainer.fit(model, data, regression_rows(90, n_targets=n_targets))
    metrics = trainer.callback_metrics
    assert set(metrics) == {"train/loss", "val/loss", "val/rmse", "val/mae", "val/r2"}
    assert metrics["val/r2"] > 0.9
    assert metrics["val/rmse"] ** 2 == pytest.approx(100 * metrics["val/loss"].item(), rel=0.3)
    assert model(data.x).shape == (300, n_targets)


OPTIONS: dict[str, list[Any]] = {
    "layer_sizes": [[8], [16, 8, 4]],
    "normalization": ["batch", "layer"],
    "residual": [True],
    "label_smoothing": [0.1],
    "number_embedding": ["piecewise_linear", "periodic"],
    "class_weights": [(1.0, 2.0, 3.0)],
    "schedule": ["one_cycle", "cosine"],
}
CLASSIFICATION_ONLY = ("label_smoothing", "class_weights")


@pytest.mark.parametrize(
    ("task", "option", "value"),
    [
        (task, name, value)
        for task in (Task.MULTICLASS, Task.REGRESSION)
        for name, values in OPTIONS.items()
        for value in values
        if not (task.is_regression and name in CLASSIFICATION_ONLY)
    ],
)
def test_every_option_trains_for_every_task(task: Task, option: str, value: Any, quiet_trainer: dict[str, Any]) -> None:
    trainer = L.Trainer(**quiet_trainer, max_epochs=3, logger=False)
    data = regression_rows(150, n_targets=2) if task.is_regression else three_clusters(150)
    model = classifier(task=task, d_out=2 if task.is_regression else 3, **{option: value})
    before = [p.clone() for p in model.parameters()]
    trainer.fit(model, data, data)
    assert all(not torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))
    assert trainer.callback_metrics["val/r2" if task.is_regression else "val/acc"] > 0.5


def test_layer_sizes_replace_n_layers_and_hidden_size() -> None:
    layers = [m for m in classifier(layer_sizes=[7, 5]).net.modules() if isinstance(m, nn.Linear)]
    assert [layer.out_features for layer in layers] == [7, 5, 3]


def test_class_weights_make_the_model_predict_a_rare_class(quiet_trainer: dict[str, Any]) -> None:
    data = unbalanced(200, batch_size=50)
    n_predicted = []
    for weights in (None, (1 / 1.8, 1 / 0.2)):
        trainer = L.Trainer(**quiet_trainer, max_epochs=3, logger=False)
        torch.manual_seed(0)
        model = classifier(d_out=2, class_weights=weights)
        trainer.fit(model, data, data)
        n_predicted.append((model.eval()(data.x).argmax(dim=1) == 1).sum().item())
    assert n_predicted[0] < 5 < 20 < n_predicted[1]


def test_category_embeddings_are_learned(trainer: L.Trainer) -> None:
    codes = torch.arange(300) % 6
    data = TensorBatches(torch.stack([torch.randn(300), codes], dim=1), codes // 2, batch_size=32, shuffle_seed=None)
    trainer.fit(classifier(cardinalities=(6,)), data, data)
    assert trainer.callback_metrics["val/acc"] == 1.0
