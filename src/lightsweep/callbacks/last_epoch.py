"""Ends a fit before the last epoch of its schedule."""

import pytorch_lightning as L
from pytorch_lightning.callbacks import Callback

from lightsweep.callbacks.pruning import stop_fit


class LastEpoch(Callback):
    """Ends the fit after `n_epochs`. `trainer.max_epochs` stays, because learning rate schedules depend on it."""

    needs_every_batch = False

    def __init__(self, *, n_epochs: int) -> None:
        self.n_epochs = n_epochs

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch + 1 >= self.n_epochs:
            stop_fit(trainer)
