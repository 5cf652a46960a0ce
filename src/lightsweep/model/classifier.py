"""The MLP as a LightningModule: cross-entropy, accuracy, and whatever optimizer the config chose."""

from collections.abc import Callable, Iterable

import pytorch_lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from lightsweep.model.mlp import MLP

OptimizerOf = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class MLPClassifier(L.LightningModule):
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
    ) -> None:
        super().__init__()
        self.net = MLP(
            d_in=d_in,
            d_out=d_out,
            n_layers=n_layers,
            hidden_size=hidden_size,
            dropout_rate=dropout_rate,
            activation=activation,
        )
        self.optimizer_of = optimizer
        # Micro-averaged, accuracy is the share of right predictions; the default is the mean over the classes.
        self.val_acc = MulticlassAccuracy(num_classes=d_out, average="micro")
        self.test_acc = MulticlassAccuracy(num_classes=d_out, average="micro")

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)
        return logits

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer_of(self.parameters())

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(y))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate(batch, split="val", accuracy=self.val_acc)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate(batch, split="test", accuracy=self.test_acc)

    def _evaluate(self, batch: tuple[Tensor, Tensor], *, split: str, accuracy: MulticlassAccuracy) -> None:
        x, y = batch
        logits = self(x)
        accuracy.update(logits, y)
        self.log(f"{split}/loss", F.cross_entropy(logits, y), batch_size=len(y))
        self.log(f"{split}/acc", accuracy)
