"""The yardstick: the way of the popular Lightning + Hydra template, with the same model, data and space.

Lightning's defaults, a DataLoader that collates sample by sample, and hydra-optuna-sweeper's own sweeper.
"""

from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig


@hydra.main(config_path="template_conf", config_name="template", version_base="1.3")
def main(cfg: DictConfig) -> float:
    import pytorch_lightning as L
    import torch
    import torch.nn.functional as F
    from plain import OPTIMIZERS, mlp, read
    from pytorch_lightning.callbacks import ModelCheckpoint
    from pytorch_lightning.loggers import CSVLogger
    from torch import Tensor
    from torch.utils.data import DataLoader
    from torchmetrics.classification import MulticlassAccuracy

    class Classifier(L.LightningModule):
        def __init__(self, d_in: int, d_out: int) -> None:
            super().__init__()
            self.net = mlp(
                d_in, d_out, n_layers=cfg.n_layers, hidden_size=cfg.hidden_size, dropout_rate=cfg.dropout_rate
            )
            self.accuracy = MulticlassAccuracy(num_classes=d_out, average="micro")

        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            x, y = batch
            loss = F.cross_entropy(self.net(x), y)
            self.log("train/loss", loss, on_step=False, on_epoch=True, prog_bar=True)
            return loss

        def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
            x, y = batch
            self.accuracy(self.net(x), y)
            self.log("val/acc", self.accuracy, on_step=False, on_epoch=True, prog_bar=True)

        def configure_optimizers(self) -> Any:
            return OPTIMIZERS[cfg.optimizer](self.parameters(), lr=cfg.lr)

    torch.set_num_threads(1)
    L.seed_everything(cfg.seed, workers=True)
    (training, validation, _), d_in, d_out = read(cfg.data, n_samples=cfg.n_samples, seed=cfg.seed)
    folder = HydraConfig.get().runtime.output_dir
    trainer = L.Trainer(
        max_epochs=cfg.epochs,
        accelerator="auto",
        default_root_dir=folder,
        logger=CSVLogger(folder, name="csv", version=""),
        callbacks=[ModelCheckpoint(dirpath=f"{folder}/checkpoints", monitor="val/acc", mode="max")],
    )
    trainer.fit(
        Classifier(d_in, d_out),
        DataLoader(training, batch_size=cfg.batch_size, shuffle=True),
        DataLoader(validation, batch_size=cfg.batch_size),
    )
    return trainer.callback_metrics["val/acc"].item()


if __name__ == "__main__":
    main()
