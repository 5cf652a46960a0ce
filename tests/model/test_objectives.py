"""Losses and metrics of each task, compared with torchmetrics."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchmetrics.functional as tm
from torch import Tensor

from lightsweep.data.splits import Scaler
from lightsweep.errors import ConfigError
from lightsweep.model import objectives
from lightsweep.model.objectives import METRICS, Classification, Regression, auroc, check_monitor
from lightsweep.task import Task


def rows(n_classes: int, *, n: int = 200, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits on a coarse grid, with many ties, that depend on the labels; the classes are of unequal size."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n, generator=generator).square() * n_classes).long()
    noise = torch.randn(n, n_classes, generator=generator)
    return (2 * (noise + F.one_hot(labels, n_classes))).round() / 2, labels


def metrics_of(objective: Classification | Regression, out: Tensor, y: Tensor, *, batch_size: int) -> dict[str, float]:
    metrics = objective.new_metrics()
    for part, targets in zip(out.split(batch_size), y.split(batch_size), strict=True):
        metrics.update(part, targets)
    return {name: value.item() for name, value in metrics.compute().items()}


def classification(n_classes: int, *, weights: tuple[float, ...] | None = None, smoothing: float = 0) -> Classification:
    return Classification(n_classes=n_classes, class_weights=weights, label_smoothing=smoothing)


@pytest.mark.parametrize("batch_size", [200, 64, 7])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_classification_metrics_are_those_of_torchmetrics(n_classes: int, batch_size: int) -> None:
    logits, labels = rows(n_classes)
    kind = {"task": "multiclass", "num_classes": n_classes}
    expected = {
        "loss": F.cross_entropy(logits, labels),
        "acc": tm.accuracy(logits, labels, **kind, average="micro"),  # type: ignore[arg-type]
        "f1_macro": tm.f1_score(logits, labels, **kind, average="macro"),  # type: ignore[arg-type]
        "auroc": tm.auroc(logits.softmax(dim=1), labels, **kind),  # type: ignore[arg-type]
        "balanced_acc": tm.recall(logits, labels, **kind, average="macro"),  # type: ignore[arg-type]
    }
    found = metrics_of(classification(n_classes), logits, labels, batch_size=batch_size)
    assert found == pytest.approx({name: value.item() for name, value in expected.items()}, rel=1e-5)
    assert tuple(found) == METRICS[Task.MULTICLASS] == METRICS[Task.BINARY]


@pytest.mark.parametrize("n", [1, 2, 3, 288])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("scale", [0.01, 1, 1000])
def test_auroc_is_the_share_of_pairs_in_order_where_ties_count_half(n_classes: int, n: int, scale: float) -> None:
    logits, labels = rows(n_classes, n=n)
    scores, is_own = (scale * logits).softmax(dim=1), F.one_hot(labels, n_classes).bool()
    won = []
    for score, own in list(zip(scores.T, is_own.T, strict=True))[1 if n_classes == 2 else 0 :]:
        difference = score[own].unsqueeze(1) - score[~own]
        won += [((difference > 0) + 0.5 * (difference == 0)).mean().item()] if difference.numel() else []
    expected = pytest.approx(np.mean(won), rel=1e-5) if won else pytest.approx(np.nan, nan_ok=True)
    assert auroc(scale * logits, labels).item() == expected


def test_auroc_of_nan_logits_is_one_half() -> None:
    assert auroc(torch.full((50, 3), np.nan), rows(3, n=50)[1]) == 0.5


def test_sorting_with_numpy_or_torch_gives_the_same_auroc(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = rows(3)
    with_numpy = auroc(logits, labels)
    monkeypatch.setattr(objectives, "_sorted", lambda keys: keys.sort(dim=1).values)
    assert auroc(logits, labels) == with_numpy


def test_a_class_without_rows_is_left_out_of_macro_means() -> None:
    logits, labels = rows(3)
    more = torch.cat([logits, torch.full((len(logits), 1), -50.0)], dim=1)
    three = metrics_of(classification(3), logits, labels, batch_size=64)
    assert metrics_of(classification(4), more, labels, batch_size=64) == pytest.approx(three, rel=1e-5)


def test_class_weights_and_label_smoothing_affect_only_the_loss() -> None:
    logits, labels = rows(3)
    plain, changed = classification(3), classification(3, weights=(1.0, 2.0, 0.5), smoothing=0.1)
    expected = F.cross_entropy(logits, labels, torch.tensor([1.0, 2.0, 0.5]), label_smoothing=0.1)
    assert changed.loss(logits, labels) == expected != plain.loss(logits, labels)
    assert metrics_of(changed, logits, labels, batch_size=64) == metrics_of(plain, logits, labels, batch_size=64)
    assert not changed.state_dict()  # an exported model is built without class weights


@pytest.mark.parametrize("batch_size", [200, 7])
@pytest.mark.parametrize("std", [[1.0], [3.0, 0.1]])
def test_regression_metrics_are_those_of_torchmetrics_in_the_targets_units(std: list[float], batch_size: int) -> None:
    scaler = Scaler(mean=np.zeros(len(std), np.float32), std=np.asarray(std, np.float32))
    objective = Regression(n_targets=len(std), scaler=scaler)
    y = torch.randn(200, len(std)) + 0.5
    out = y + 0.3 * torch.randn(200, len(std))
    own_y, own_out = y * objective.std, out * objective.std
    each = [(own_out[:, i].contiguous(), own_y[:, i].contiguous()) for i in range(len(std))]
    expected = {
        "loss": F.mse_loss(out, y).item(),
        "rmse": np.mean([tm.mean_squared_error(*pair, squared=False).item() for pair in each]),
        "mae": np.mean([tm.mean_absolute_error(*pair).item() for pair in each]),
        "r2": np.mean([tm.r2_score(*pair).item() for pair in each]),
    }
    found = metrics_of(objective, out, y, batch_size=batch_size)
    assert found == pytest.approx(expected, rel=1e-4)
    assert tuple(found) == METRICS[Task.REGRESSION]
    assert objective.loss(out, y) == F.mse_loss(out, y)


def test_one_dimensional_targets_are_not_broadcast() -> None:
    out, y = torch.randn(50, 1), torch.randn(50)
    objective = Regression(n_targets=1, scaler=None)
    assert objective.loss(out, y) == F.mse_loss(out[:, 0], y)
    assert metrics_of(objective, out, y, batch_size=20)["loss"] == pytest.approx(F.mse_loss(out[:, 0], y).item())


@pytest.mark.parametrize(
    ("task", "monitor", "suggested"),
    [
        (Task.REGRESSION, "val/acc", "monitor=val/rmse"),
        (Task.REGRESSION, "val/auroc", "monitor=val/rmse"),
        (Task.BINARY, "val/rmse", "monitor=val/acc"),
        (Task.MULTICLASS, "val/r2", "monitor=val/acc"),
        (Task.REGRESSION, "val/rmse", None),
        (Task.BINARY, "val/loss", None),
        (Task.MULTICLASS, "val/custom", None),
        ("custom task", "val/rmse", None),
    ],
)
def test_a_metric_of_another_task_is_an_error_that_suggests_one_of_this_task(
    task: Task | str, monitor: str, suggested: str | None
) -> None:
    expected = (
        contextlib.nullcontext()
        if suggested is None
        else pytest.raises(ConfigError, match=f"monitor is '{monitor}', .* of the data is {task}, .* {suggested}")
    )
    with expected:
        check_monitor(monitor, SimpleNamespace(task=task))
