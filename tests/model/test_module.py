"""The module in a real trainer: it learns, and what it logs is what was measured."""

from collections.abc import Iterable, Iterator
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


def three_clouds(n: int, *, batch_size: int = 32) -> TensorBatches:
    """Points around three corners, which a small network separates."""
    labels = torch.arange(n) % 3
    corners = torch.tensor([[0.0, 3.0], [3.0, -2.0], [-3.0, -2.0]])
    return TensorBatches(corners[labels] + torch.randn(n, 2), labels, batch_size=batch_size, shuffle_seed=None)


def unbalanced(n: int, *, batch_size: int) -> TensorBatches:
    """Nine rows in ten are of class 0: here the mean over the classes is far from the share of right predictions."""
    labels = torch.where(torch.arange(n) % 10 == 9, 1, 0)
    return TensorBatches(torch.randn(n, 2), labels, batch_size=batch_size, shuffle_seed=None)


class LossOfEachEpoch(L.Callback):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.losses.append(trainer.callback_metrics["train/loss"].item())


@pytest.fixture
def trainer(quiet_trainer: dict[str, Any]) -> Iterator[L.Trainer]:
    return L.Trainer(**quiet_trainer, max_epochs=8, logger=False, callbacks=[LossOfEachEpoch()])


def test_a_regression_has_no_labels_to_smooth() -> None:
    with pytest.raises(ConfigError, match=r"model\.label_smoothing is 0\.1, but the task of the data is regression"):
        MLPModule(**settings(task=Task.REGRESSION, label_smoothing=0.1))


def test_training_lowers_the_loss_and_separates_the_classes(trainer: L.Trainer) -> None:
    model, data = classifier(), three_clouds(300)
    untrained = F.cross_entropy(model(data.x), data.y).item()
    trainer.fit(model, data, three_clouds(90))
    [losses] = [c.losses for c in trainer.callbacks if isinstance(c, LossOfEachEpoch)]
    assert losses[-1] < losses[0] < untrained
    assert losses[-1] < 0.2 * untrained
    assert trainer.callback_metrics["val/acc"] > 0.95


def test_it_logs_these_metrics_and_no_other(trainer: L.Trainer) -> None:
    model = classifier()
    trainer.fit(model, three_clouds(60), three_clouds(30))
    of_classes = ("loss", "acc", "f1_macro", "auroc", "balanced_acc")
    assert set(trainer.callback_metrics) == {"train/loss", *(f"val/{name}" for name in of_classes)}
    [tested] = trainer.test(model, three_clouds(30), verbose=False)
    assert set(tested) == {f"test/{name}" for name in of_classes}


@pytest.mark.parametrize("batch_size", [200, 32, 7])  # the last batch is short, and must not weigh as much
@pytest.mark.parametrize("split", ["val", "test"])
def test_accuracy_and_loss_are_those_of_all_rows(split: str, batch_size: int, trainer: L.Trainer) -> None:
    model = classifier(d_out=2).eval()
    data = unbalanced(200, batch_size=batch_size)
    evaluate = trainer.validate if split == "val" else trainer.test
    [logged] = evaluate(model, data, verbose=False)
    with torch.inference_mode():
        logits = model(data.x)
    right = (logits.argmax(dim=1) == data.y).float().mean().item()
    assert 0.0 < right < 1.0
    assert logged[f"{split}/acc"] == pytest.approx(right, abs=1e-6)
    assert logged[f"{split}/loss"] == pytest.approx(F.cross_entropy(logits, data.y).item(), rel=1e-5)


def test_the_training_loss_is_the_mean_over_all_rows(quiet_trainer: dict[str, Any]) -> None:
    model = classifier(d_out=2, optimizer=partial(torch.optim.SGD, lr=0.0))  # it stays as it is
    data = unbalanced(50, batch_size=20)
    L.Trainer(**quiet_trainer, max_epochs=1, logger=False, callbacks=[kept := LossOfEachEpoch()]).fit(model, data, data)
    with torch.inference_mode():
        assert kept.losses == pytest.approx([F.cross_entropy(model(data.x), data.y).item()], rel=1e-5)


def test_accuracy_starts_again_with_each_evaluation(trainer: L.Trainer) -> None:
    model, data = classifier(), three_clouds(90)
    trainer.fit(model, data, data)
    wrong = TensorBatches(data.x, (data.y + 1) % 3, batch_size=32, shuffle_seed=None)
    right_share = trainer.callback_metrics["val/acc"].item()
    [of_wrong_labels] = trainer.validate(model, wrong, verbose=False)
    assert right_share > 0.9
    assert of_wrong_labels["val/acc"] < 0.1


@pytest.mark.parametrize(
    "optimizer", [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, partial(torch.optim.SGD, momentum=0.9)]
)
def test_the_optimizer_gets_all_parameters_and_its_settings(optimizer: Any) -> None:
    def configured(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        built: torch.optim.Optimizer = optimizer(parameters, lr=0.125)
        return built

    model = classifier(optimizer=configured)
    [group] = model.configure_optimizers().param_groups
    assert list(map(id, group["params"])) == list(map(id, model.parameters()))
    assert group["lr"] == 0.125


def test_the_module_itself_gives_logits() -> None:
    model = classifier()
    x = torch.randn(5, 2)
    assert model(x).shape == (5, 3)
    assert torch.equal(model(x), model.net(x))


def values(n: int, *, n_targets: int = 1) -> TensorBatches:
    x = torch.randn(n, 2)
    return TensorBatches(x, torch.stack([x.sum(dim=1), x[:, 0]][:n_targets], dim=1), batch_size=32, shuffle_seed=None)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_a_regression_learns_and_logs_its_own_metrics(n_targets: int, trainer: L.Trainer) -> None:
    scaler = Scaler(mean=np.zeros(n_targets, np.float32), std=np.full(n_targets, 10, np.float32))
    model = classifier(task=Task.REGRESSION, d_out=n_targets, target_scaler=scaler)
    data = values(300, n_targets=n_targets)
    trainer.fit(model, data, values(90, n_targets=n_targets))
    there = trainer.callback_metrics
    assert set(there) == {"train/loss", "val/loss", "val/rmse", "val/mae", "val/r2"}
    assert there["val/r2"] > 0.9
    assert there["val/rmse"] ** 2 == pytest.approx(100 * there["val/loss"].item(), rel=0.3)
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


OF_CLASSES = ("label_smoothing", "class_weights")


@pytest.mark.parametrize(
    ("task", "option", "value"),
    [
        (task, name, value)
        for task in (Task.MULTICLASS, Task.REGRESSION)
        for name, values in OPTIONS.items()
        for value in values
        if not (task.is_regression and name in OF_CLASSES)
    ],
)
def test_every_option_trains_for_every_task(task: Task, option: str, value: Any, quiet_trainer: dict[str, Any]) -> None:
    trainer = L.Trainer(**quiet_trainer, max_epochs=3, logger=False)
    data = values(150, n_targets=2) if task.is_regression else three_clouds(150)
    model = classifier(task=task, d_out=2 if task.is_regression else 3, **{option: value})
    before = [p.clone() for p in model.parameters()]
    trainer.fit(model, data, data)
    assert all(not torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))
    assert trainer.callback_metrics["val/r2" if task.is_regression else "val/acc"] > 0.5


def test_layer_sizes_stand_in_place_of_number_and_size() -> None:
    layers = [m for m in classifier(layer_sizes=[7, 5]).net.modules() if isinstance(m, nn.Linear)]
    assert [layer.out_features for layer in layers] == [7, 5, 3]


def test_class_weights_make_a_rare_class_count(quiet_trainer: dict[str, Any]) -> None:
    data = unbalanced(200, batch_size=50)
    found = []
    for weights in (None, (1 / 1.8, 1 / 0.2)):
        trainer = L.Trainer(**quiet_trainer, max_epochs=3, logger=False)
        torch.manual_seed(0)
        model = classifier(d_out=2, class_weights=weights)
        trainer.fit(model, data, data)
        found.append((model.eval()(data.x).argmax(dim=1) == 1).sum().item())
    assert found[0] < 5 < 20 < found[1]


def test_codes_of_categories_are_embedded_and_learned(trainer: L.Trainer) -> None:
    codes = torch.arange(300) % 6
    data = TensorBatches(torch.stack([torch.randn(300), codes], dim=1), codes // 2, batch_size=32, shuffle_seed=None)
    trainer.fit(classifier(cardinalities=(6,)), data, data)
    assert trainer.callback_metrics["val/acc"] == 1.0
