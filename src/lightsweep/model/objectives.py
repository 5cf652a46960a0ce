"""What a model learns and is judged by, for each task: the loss of a batch, and the metrics of all rows.

Sums are kept on the device and read once per epoch: a metric object of torchmetrics takes longer than the network.
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

OFFERED = {task: "val/rmse" if task.is_regression else "val/acc" for task in Task}


def check_suits_task(monitor: str, model: object) -> None:
    """Raise `ConfigError` if a model that knows its task is monitored by a metric of another one."""
    task = getattr(model, "task", None)
    if not isinstance(task, Task) or monitor in (there := [f"val/{name}" for name in METRICS[task]]):
        return
    if monitor in {f"val/{name}" for names in METRICS.values() for name in names}:
        raise ConfigError(
            f"monitor is '{monitor}', but the task of the data is {task}, of which the model logs {', '.join(there)}."
            f" Say monitor={OFFERED[task]}, or another of these."
        )


def objective_of(
    task: Task,
    *,
    d_out: int,
    class_weights: tuple[float, ...] | None,
    label_smoothing: float,
    target_scaler: Scaler | None,
) -> "Classification | Regression":
    """Raises `ConfigError` if labels of a regression are to be smoothed."""
    if task.is_regression:
        if label_smoothing:
            raise ConfigError(
                f"model.label_smoothing is {label_smoothing}, but the task of the data is regression, which has no"
                " labels to smooth: say model.label_smoothing=0."
            )
        return Regression(n_targets=d_out, scaler=target_scaler)
    return Classification(n_classes=d_out, class_weights=class_weights, label_smoothing=label_smoothing)


class Classification(nn.Module):
    """Cross-entropy of `(n, n_classes)` logits, weighted by class and smoothed; it is judged without either."""

    weights: Tensor | None

    def __init__(self, *, n_classes: int, class_weights: tuple[float, ...] | None, label_smoothing: float) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.label_smoothing = label_smoothing
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("weights", weights, persistent=False)

    def loss(self, out: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(out, y, self.weights, label_smoothing=self.label_smoothing)

    def evaluation(self) -> "ClassEvaluation":
        return ClassEvaluation(self.n_classes)


class ClassEvaluation:
    """Loss, accuracy, macro F1, balanced accuracy, and the macro mean of each class's AUROC against all others.

    A class without a row does not count, nor does one that is never right nor wrong in F1.
    """

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes
        self.n_rows = 0
        self._loss_sum: Tensor | float = 0.0
        self._counts: Tensor | int = 0
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []

    def add(self, out: Tensor, y: Tensor) -> None:
        out = out.float()
        self.n_rows += len(y)
        self._loss_sum = self._loss_sum + F.cross_entropy(out, y, reduction="sum")
        self._counts = self._counts + _counts(out.argmax(dim=1), y, n_classes=self.n_classes)
        self._logits.append(out)
        self._labels.append(y)

    def metrics(self) -> dict[str, Tensor]:
        assert isinstance(self._counts, Tensor)
        right, predicted, actual = self._counts.float()
        of = torch.stack([predicted + actual, actual])
        f1_macro, balanced_acc = _mean(torch.stack([2 * right, right]) / of, where=of > 0)
        return {
            "loss": torch.as_tensor(self._loss_sum / self.n_rows),
            "acc": self._counts[0].sum() / self.n_rows,
            "f1_macro": f1_macro,
            "auroc": auroc(torch.cat(self._logits), torch.cat(self._labels)),
            "balanced_acc": balanced_acc,
        }


class Regression(nn.Module):
    """Mean squared error of `(n, n_targets)` standardised values; errors are told in the targets' own unit."""

    std: Tensor

    def __init__(self, *, n_targets: int, scaler: Scaler | None) -> None:
        super().__init__()
        std = (
            torch.ones(n_targets)
            if scaler is None
            else torch.as_tensor(scaler.std, dtype=torch.float32).reshape(n_targets).clone()
        )
        self.register_buffer("std", std, persistent=False)

    def loss(self, out: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(out, y.reshape(out.shape))

    def evaluation(self) -> "ValueEvaluation":
        return ValueEvaluation(self.std)


class ValueEvaluation:
    """Loss as in training, and RMSE, MAE and R2, each the mean over the targets."""

    def __init__(self, std: Tensor) -> None:
        self.std = std.float()
        self.n_rows = 0
        self._sums: Tensor | int = 0

    def add(self, out: Tensor, y: Tensor) -> None:
        out, y = out.float(), y.reshape(out.shape).float()
        error = out - y
        self.n_rows += len(y)
        self._sums = self._sums + torch.stack(
            [part.sum(dim=0) for part in (error.square(), error.abs(), y, y.square())]
        )

    def metrics(self) -> dict[str, Tensor]:
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
    """The probability that a row of a class is given more of it than a row of another; half of it for equals.

    Counted as Mann and Whitney do. NaN if no class has rows both of its own and of others.
    """
    scores = logits.softmax(dim=1).T.contiguous()
    classes = torch.arange(len(scores), device=labels.device).unsqueeze(1)
    if len(scores) == 2:  # what one class wins the other loses
        scores, classes = scores[1:], classes[1:]
    # Floats from 0 to 1 are in the order of their bits, of which the highest two are zeros: there is room for a label.
    keys = _sorted(scores.view(torch.int32) << 1 | (labels == classes))
    is_own = keys & 1  # after the others of the same score
    n_up_to = (1 - is_own).cumsum(dim=1)  # others
    is_higher = (keys[:, 1:] ^ keys[:, :-1]) > 1
    n_below = (is_higher * n_up_to[:, :-1]).cummax(dim=1).values
    n_won = (is_own * n_up_to).sum(dim=1) + (is_own[:, 1:] * n_below).sum(dim=1)  # twice
    n_other = n_up_to[:, -1]
    n_own = len(labels) - n_other
    return _mean(n_won / (2.0 * n_own * n_other), where=n_own * n_other > 0)


def _sorted(rows: Tensor) -> Tensor:
    """Each row by itself. NumPy, without torch's record of who came from where, is several times faster."""
    if rows.device.type == "cpu":
        return torch.from_numpy(np.sort(rows.numpy(), axis=1))
    return rows.sort(dim=1).values


def _counts(predicted: Tensor, labels: Tensor, *, n_classes: int) -> Tensor:
    """Per class how many rows are predicted rightly, are predicted, and are there: `(3, n_classes)`."""
    right = torch.where(predicted == labels, labels, n_classes)  # one more, for what is wrong
    bins = torch.cat([right, predicted + (n_classes + 1), labels + 2 * (n_classes + 1)])
    return torch.bincount(bins, minlength=3 * (n_classes + 1)).view(3, n_classes + 1)[:, :n_classes]


def _mean(values: Tensor, *, where: Tensor) -> Tensor:
    """Along the last dimension."""
    return torch.where(where, values, 0.0).sum(dim=-1) / where.sum(dim=-1)
