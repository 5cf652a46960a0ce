"""A model of your own: an ordinary LightningModule, told what the data has by the names of its arguments."""

import pytorch_lightning as L
from torch import nn


class TwoTowers(L.LightningModule):
    def __init__(self, *, d_in, d_out, width, optimizer):
        super().__init__()
        self.wide = nn.Linear(d_in, d_out)
        self.deep = nn.Sequential(nn.Linear(d_in, width), nn.GELU(), nn.Linear(width, d_out))
        self.optimizer_of = optimizer

    def forward(self, x):
        return self.wide(x) + self.deep(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def validation_step(self, batch, batch_idx):
        self.log("val/acc", self._accuracy(batch))

    def test_step(self, batch, batch_idx):
        self.log("test/acc", self._accuracy(batch))

    def _accuracy(self, batch):
        x, y = batch
        return (self(x).argmax(dim=1) == y).float().mean()

    def configure_optimizers(self):
        return self.optimizer_of(self.parameters())
