"""Keeps the weights of the best epoch."""

import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from lightsweep.direction import Direction, lightning_mode


class BestCheckpoint(ModelCheckpoint):
    """Writes `<dirpath>/<filename>.ckpt` each time that `monitor` reaches a new best value.

    A file of the same name is replaced: a second fit in the same folder leaves no stale twin beside it.
    """

    def __init__(self, *, dirpath: str, filename: str, monitor: str, direction: Direction) -> None:
        super().__init__(
            dirpath=dirpath,
            filename=filename,
            monitor=monitor,
            mode=lightning_mode(direction),
            auto_insert_metric_name=False,
            enable_version_counter=False,
            save_weights_only=True,  # half the time and a third of the size; last.ckpt is there to go on from
        )

    def _monitor_candidates(self, trainer: L.Trainer) -> dict[str, Tensor]:
        """As in Lightning, which takes longer to copy these few numbers after each epoch than to look at them."""
        found = {name: torch.as_tensor(value).clone() for name, value in trainer.callback_metrics.items()}
        for name, count in {"epoch": trainer.current_epoch, "step": trainer.global_step}.items():
            found[name] = found[name].int() if name in found else torch.tensor(count)
        return found
