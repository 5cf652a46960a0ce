"""Loss and metrics of each task.

The metric classes have `update` and `compute` as in torchmetrics, whose own take longer than a small network. Sums stay
on the device and are read once per epoch.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightsweep.data.splits import Scaler
from lightsweep.errors import ConfigError
from lightsweep.task import Task

METRICS: dict[Task, tuple[str, ...]] = {
    Task.BINARY: ("loss", "acc", "f1_macro", "auroc", "balanced_acc"),
    Task.MULTICLASS: ("loss", "acc", "f1_macro", "auroc", "balanced_acc"),
    Task.REGRESSION: ("loss", "rmse", "mae", "r2"),
}


def check_monitor(monitor: str, model: object) -> None:
    """Raise `ConfigError` if `monitor` is a metric of another task; models without a `task` are not checked."""
    task = getattr(model, "task", None)
    if not isinstance(task, Task):
        return
    logged = [f"val/{name}" for name in METRICS[task]]
    if monitor not in logged and monitor in {f"val/{name}" for names in METRICS.values() for name in names}:
        suggested = "val/rmse" if task.is_regression else "val/acc"
        raise ConfigError(
            f"monitor is '{monitor}', but the task of the data is {task}, whose metrics are {', '.join(logged)}."
            f" Set monitor={suggested}, or another of these."
        )


def n_params_of(model: nn.Module) -> int:
    """Return the number of weights, the value of the objective `model/n_params`."""
    return sum(weights.numel() for weights in model.parameters())


def objective_of(
    task: Task,
    *,
    d_out: int,
    class_weights: tuple[float, ...] | None,
    label_smoothing: float,
    target_scaler: Scaler | None,
) -> "Classification | Regression":
    """Return the task's loss and metrics. Raise `ConfigError` for label smoothing in a regression."""
    if task.is_regression:
        if label_smoothing:
            raise ConfigError(
                f"model.label_smoothing is {label_smoothing}, but the task of the data is regression, which has no"
                " labels to smooth. Set model.label_smoothing=0."
            )
        return Regression(n_targets=d_out, scaler=target_scaler)
    return Classification(n_classes=d_out, class_weights=class_weights, label_smoothing=label_smoothing)


class Classification(nn.Module):
    """Cross-entropy of `(n, n_classes)` logits, with class weights and label smoothing; the metrics use neither."""

    weights: Tensor | None

    def __init__(self, *, n_classes: int, class_weights: tuple[float, ...] | None, label_smoothing: float) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.label_smoothing = label_smoothing
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("weights", weights, persistent=False)

    def loss(self, out: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(out, y, self.weights, label_smoothing=self.label_smoothing)

    def new_metrics(self) -> "ClassificationMetrics":
        return ClassificationMetrics(self.n_classes)


class ClassificationMetrics:
    """Loss, accuracy, macro F1, balanced accuracy, and macro AUROC (one class against the rest).

    Macro means leave out classes without rows; that of F1 leaves out only classes with neither rows nor predictions.
    """

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes
        self.n_rows = 0
        self._loss_sum: Tensor | float = 0.0
        self._counts: Tensor | int = 0
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []

    def update(self, out: Tensor, y: Tensor) -> None:
        out = out.float()
        self.n_rows += len(y)
        self._loss_sum = self._loss_sum + F.cross_entropy(out, y, reduction="sum")
        self._counts = self._counts + _counts(out.argmax(dim=1), y, n_classes=self.n_classes)
        self._logits.append(out)
        self._labels.append(y)

    def compute(self) -> dict[str, Tensor]:
        assert isinstance(self._counts, Tensor)
        correct, predicted, actual = self._counts.float()
        totals = torch.stack([predicted + actual, actual])
        f1_macro, balanced_acc = _mean(torch.stack([2 * correct, correct]) / totals, where=totals > 0)
        return {
            "loss": torch.as_tensor(self._loss_sum / self.n_rows),
            "acc": self._counts[0].sum() / self.n_rows,
            "f1_macro": f1_macro,
            "auroc": auroc(torch.cat(self._logits), torch.cat(self._labels)),
            "balanced_acc": balanced_acc,
        }


class Regression(nn.Module):
    """Mean squared error of `(n, n_targets)` standardised values; RMSE and MAE are in the targets' own units."""

    std: Tensor

    def __init__(self, *, n_targets: int, scaler: Scaler | None) -> None:
        super().__init__()
        std = torch.ones(n_targets)
        if scaler is not None:
            std = torch.as_tensor(scaler.std, dtype=torch.float32).reshape(n_targets).clone()
        self.register_buffer("std", std, persistent=False)

    def loss(self, out: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(out, y.reshape(out.shape))

    def new_metrics(self) -> "RegressionMetrics":
        return RegressionMetrics(self.std)


class RegressionMetrics:
    """Loss as in training, RMSE, MAE and R2, each the mean over the targets."""

    def __init__(self, std: Tensor) -> None:
        self.std = std.float()
        self.n_rows = 0
        self._sums: Tensor | int = 0

    def update(self, out: Tensor, y: Tensor) -> None:
        out, y = out.float(), y.reshape(out.shape).float()
        error = out - y
        self.n_rows += len(y)
        terms = (error.square(), error.abs(), y, y.square())
        self._sums = self._sums + torch.stack([term.sum(dim=0) for term in terms])

    def compute(self) -> dict[str, Tensor]:
        assert isinstance(self._sums, Tensor)
        squared, absolute, mean, mean_of_squares = self._sums / self.n_rows
        variance = mean_of_squares - mean.square()
        explained = torch.where(variance > 0, 1 - squared / variance, 0.0)
        return {
            "loss": squared.mean(),
            "rmse": (squared.sqrt() * self.std).mean(),
            "mae": (absolute * self.std).mean(),
            "r2": explained.mean(),
        }


def auroc(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the macro mean of each class's AUROC against the rest; NaN if no class has rows on both sides.

    It is the Mann-Whitney statistic: the share of pairs of a row of the class and another row in which the former has
    the higher probability of the class. Equal probabilities count half.
    """
    scores = logits.softmax(dim=1).T.contiguous()
    classes = torch.arange(len(scores), device=labels.device).unsqueeze(1)
    if len(scores) == 2:  # both classes have the same AUROC
        scores, classes = scores[1:], classes[1:]
    # The bits of floats from 0 to 1, read as integers, have the same order and two leading zeros. So there is room for
    # a last bit that is 1 for rows of the class; among equal scores these come last.
    keys = _sorted(scores.view(torch.int32) << 1 | (labels == classes))
    is_own = keys & 1
    n_up_to = (1 - is_own).cumsum(dim=1)  # other rows with at most this score
    is_higher = (keys[:, 1:] ^ keys[:, :-1]) > 1
    n_below = (is_higher * n_up_to[:, :-1]).cummax(dim=1).values  # other rows with a lower score
    n_won = (is_own * n_up_to).sum(dim=1) + (is_own[:, 1:] * n_below).sum(dim=1)  # twice the pairs won
    n_other = n_up_to[:, -1]
    n_own = len(labels) - n_other
    return _mean(n_won / (2.0 * n_own * n_other), where=n_own * n_other > 0)


def _sorted(rows: Tensor) -> Tensor:
    """Sort each row. On the CPU, NumPy is several times faster, because torch also sorts the indices."""
    if rows.device.type == "cpu":
        return torch.from_numpy(np.sort(rows.numpy(), axis=1))
    return rows.sort(dim=1).values


def _counts(predicted: Tensor, labels: Tensor, *, n_classes: int) -> Tensor:
    """Count per class the correct predictions, the predictions and the labels: `(3, n_classes)`."""
    correct = torch.where(predicted == labels, labels, n_classes)  # wrong predictions go to one more bin
    bins = torch.cat([correct, predicted + (n_classes + 1), labels + 2 * (n_classes + 1)])
    return torch.bincount(bins, minlength=3 * (n_classes + 1)).view(3, n_classes + 1)[:, :n_classes]


def _mean(values: Tensor, *, where: Tensor) -> Tensor:
    """Return the mean along the last dimension of the values where the mask is true."""
    return torch.where(where, values, 0.0).sum(dim=-1) / where.sum(dim=-1)
