"""Data of your own: an ordinary LightningDataModule with the attributes that the model asks for."""

import pytorch_lightning as L
import torch
from torch.utils.data import DataLoader, TensorDataset, random_split


class Spirals(L.LightningDataModule):
    d_in, d_out = 2, 2

    def __init__(self, *, n, batch_size, seed):
        super().__init__()
        self.batch_size = batch_size
        random = torch.Generator().manual_seed(seed)
        y = torch.arange(n) % 2
        angle = 6 * torch.rand(n, generator=random)
        x = torch.stack([angle.cos(), angle.sin()], dim=1) * angle.unsqueeze(1) * (1 - 2 * y).unsqueeze(1)
        parts = random_split(TensorDataset(x, y), [0.64, 0.16, 0.2], generator=random)
        self.train, self.val, self.test = parts

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=512)

    def test_dataloader(self):
        return DataLoader(self.test, batch_size=512)
