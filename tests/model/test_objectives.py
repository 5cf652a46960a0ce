"""Losses and metrics of each task, against torchmetrics and by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchmetrics.functional as tm
from torch import Tensor, nn

from lightsweep.data.splits import Scaler
from lightsweep.errors import ConfigError
from lightsweep.model import objectives
from lightsweep.model.objectives import METRICS, Classification, Regression, auroc, check_suits_task
from lightsweep.task import Task


def rows(n_classes: int, *, n: int = 200, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits on a coarse grid, so that many are equal, and labels of classes of unequal size that they know of."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n, generator=generator).square() * n_classes).long()
    noise = torch.randn(n, n_classes, generator=generator)
    return (2 * (noise + F.one_hot(labels, n_classes))).round() / 2, labels


def measured(objective: Classification | Regression, out: Tensor, y: Tensor, *, batch_size: int) -> dict[str, float]:
    evaluation = objective.evaluation()
    for part, targets in zip(out.split(batch_size), y.split(batch_size), strict=True):
        evaluation.add(part, targets)
    return {name: value.item() for name, value in evaluation.metrics().items()}


def classification(n_classes: int, *, weights: tuple[float, ...] | None = None, smoothing: float = 0) -> Classification:
    return Classification(n_classes=n_classes, class_weights=weights, label_smoothing=smoothing)


@pytest.mark.parametrize("batch_size", [200, 64, 7])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_the_metrics_of_classes_are_those_of_torchmetrics(n_classes: int, batch_size: int) -> None:
    logits, labels = rows(n_classes)
    kind = {"task": "multiclass", "num_classes": n_classes}
    expected = {
        "loss": F.cross_entropy(logits, labels),
        "acc": tm.accuracy(logits, labels, **kind, average="micro"),  # type: ignore[arg-type]
        "f1_macro": tm.f1_score(logits, labels, **kind, average="macro"),  # type: ignore[arg-type]
        "auroc": tm.auroc(logits.softmax(dim=1), labels, **kind),  # type: ignore[arg-type]
        "balanced_acc": tm.recall(logits, labels, **kind, average="macro"),  # type: ignore[arg-type]
    }
    there = measured(classification(n_classes), logits, labels, batch_size=batch_size)
    assert there == pytest.approx({name: value.item() for name, value in expected.items()}, rel=1e-5)
    assert tuple(there) == METRICS[Task.MULTICLASS] == METRICS[Task.BINARY]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([0, 1, 2, 3], 1.0), ([3, 2, 1, 0], 0.0), ([1, 1, 1, 1], 0.5), ([0, 2, 1, 3], 0.75), ([0, 1, 1, 2], 0.875)],
)
def test_auroc_counts_the_pairs_that_are_in_order(scores: list[float], expected: float) -> None:
    logits = torch.stack([torch.zeros(4), torch.tensor(scores, dtype=torch.float32)], dim=1)
    assert auroc(logits, torch.tensor([0, 0, 1, 1])).item() == expected


@pytest.mark.parametrize("n", [1, 2, 3, 288])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("scale", [0.01, 1, 1000])
def test_auroc_counts_each_pair_whatever_is_equal(n_classes: int, n: int, scale: float) -> None:
    logits, labels = rows(n_classes, n=n)
    scores, is_own = (scale * logits).softmax(dim=1), F.one_hot(labels, n_classes).bool()
    won = []
    for score, own in list(zip(scores.T, is_own.T, strict=True))[1 if n_classes == 2 else 0 :]:
        difference = score[own].unsqueeze(1) - score[~own]
        won += [((difference > 0) + 0.5 * (difference == 0)).mean().item()] if difference.numel() else []
    expected = pytest.approx(np.mean(won), rel=1e-5) if won else pytest.approx(np.nan, nan_ok=True)
    assert auroc(scale * logits, labels).item() == expected


def test_auroc_of_a_model_that_has_diverged_is_that_of_chance() -> None:
    assert auroc(torch.full((50, 3), np.nan), rows(3, n=50)[1]) == 0.5


def test_rows_are_sorted_alike_with_numpy_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = rows(3)
    with_numpy = auroc(logits, labels)
    monkeypatch.setattr(objectives, "_sorted", lambda keys: keys.sort(dim=1).values)
    assert auroc(logits, labels) == with_numpy


def test_a_class_without_rows_does_not_count() -> None:
    logits, labels = rows(3)
    more = torch.cat([logits, torch.full((len(logits), 1), -50.0)], dim=1)
    three = measured(classification(3), logits, labels, batch_size=64)
    assert measured(classification(4), more, labels, batch_size=64) == pytest.approx(three, rel=1e-5)


def test_weights_and_smoothing_are_of_the_training_alone() -> None:
    logits, labels = rows(3)
    plain, changed = classification(3), classification(3, weights=(1.0, 2.0, 0.5), smoothing=0.1)
    expected = F.cross_entropy(logits, labels, torch.tensor([1.0, 2.0, 0.5]), label_smoothing=0.1)
    assert changed.loss(logits, labels) == expected != plain.loss(logits, labels)
    assert measured(changed, logits, labels, batch_size=64) == measured(plain, logits, labels, batch_size=64)
    assert not changed.state_dict()  # what was shipped is built again without the weights


@pytest.mark.parametrize("batch_size", [200, 7])
@pytest.mark.parametrize("std", [[1.0], [3.0, 0.1]])
def test_the_metrics_of_values_are_in_their_own_unit(std: list[float], batch_size: int) -> None:
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
    there = measured(objective, out, y, batch_size=batch_size)
    assert there == pytest.approx(expected, rel=1e-4)
    assert tuple(there) == METRICS[Task.REGRESSION]
    assert objective.loss(out, y) == F.mse_loss(out, y)


def test_a_target_without_a_second_dimension_is_not_spread_over_all_outputs() -> None:
    out, y = torch.randn(50, 1), torch.randn(50)
    objective = Regression(n_targets=1, scaler=None)
    assert objective.loss(out, y) == F.mse_loss(out[:, 0], y)
    assert measured(objective, out, y, batch_size=20)["loss"] == pytest.approx(F.mse_loss(out[:, 0], y).item())


class Model(nn.Module):
    def __init__(self, task: object) -> None:
        super().__init__()
        self.task = task


@pytest.mark.parametrize(
    ("task", "monitor", "offered"),
    [
        (Task.REGRESSION, "val/acc", "monitor=val/rmse"),
        (Task.REGRESSION, "val/auroc", "monitor=val/rmse"),
        (Task.BINARY, "val/rmse", "monitor=val/acc"),
        (Task.MULTICLASS, "val/r2", "monitor=val/acc"),
        (Task.REGRESSION, "val/rmse", None),
        (Task.BINARY, "val/loss", None),
        (Task.MULTICLASS, "val/of_my_own", None),
        ("mine", "val/rmse", None),
    ],
)
def test_a_metric_of_another_task_is_refused_with_those_of_this_one(
    task: Task | str, monitor: str, offered: str | None
) -> None:
    if offered is None:
        check_suits_task(monitor, Model(task))
        return
    with pytest.raises(ConfigError, match=f"monitor is '{monitor}', but the task of the data is {task}") as caught:
        check_suits_task(monitor, Model(task))
    assert offered in str(caught.value)
