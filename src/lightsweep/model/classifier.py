"""The MLP as a LightningModule: cross-entropy, accuracy, and whatever optimizer the config chose."""

import torch.nn.functional as F
from torch import Tensor

from lightsweep.model.mlp import MLP
from lightsweep.model.training_steps import Batch, OptimizerOf, TrainingSteps


class MLPClassifier(TrainingSteps):
    """Logs `train/loss`, `val/loss`, `val/acc`, `test/loss` and `test/acc`, each once per epoch.

    Shape: a batch is `(x, y)` with `x` of `(batch, d_in)` floats and `y` of `(batch,)` class indices;
    the module itself returns logits of `(batch, d_out)`.
    """

    def __init__(
        self,
        *,
        d_in: int,
        d_out: int,
        n_layers: int,
        hidden_size: int,
        dropout_rate: float,
        activation: str,
        optimizer: OptimizerOf,
        batches_per_step: int | None,
    ) -> None:
        super().__init__(optimizer=optimizer, batches_per_step=batches_per_step)
        self.net = MLP(
            d_in=d_in,
            d_out=d_out,
            n_layers=n_layers,
            hidden_size=hidden_size,
            dropout_rate=dropout_rate,
            activation=activation,
        )
        self._forget_evaluation()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)
        return logits

    def loss_of(self, batch: Batch) -> Tensor:
        x, y = batch
        return F.cross_entropy(self(x), y)

    def on_validation_epoch_start(self) -> None:
        self._forget_evaluation()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        self._log_evaluation("val")

    def on_test_epoch_start(self) -> None:
        self._forget_evaluation()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    def on_test_epoch_end(self) -> None:
        self._log_evaluation("test")

    def _forget_evaluation(self) -> None:
        self._loss_sum: Tensor | float = 0.0
        self._n_right: Tensor | int = 0
        self._n_rows = 0

    def _evaluate(self, batch: Batch) -> None:
        # Sums on the device, read once per epoch: a metric object of torchmetrics takes longer than the network.
        x, y = batch
        logits = self(x)
        self._loss_sum = self._loss_sum + F.cross_entropy(logits.float(), y, reduction="sum")
        self._n_right = self._n_right + (logits.argmax(dim=1) == y).sum()
        self._n_rows += len(y)

    def _log_evaluation(self, split: str) -> None:
        if not self._n_rows:
            return  # a subclass evaluates in its own way
        metrics = {"loss": self._loss_sum / self._n_rows, "acc": self._n_right / self._n_rows}
        self.log_dict({f"{split}/{name}": value for name, value in metrics.items()}, batch_size=1, sync_dist=True)
        self._forget_evaluation()
