"""Weights & Biases, one run per training."""

import wandb
from pytorch_lightning.loggers import WandbLogger as LightningWandbLogger


class WandbLogger(LightningWandbLogger):
    """Ends its run with the fit. Lightning's own leaves it open, and the next trial of the process would join it."""

    def finalize(self, status: str) -> None:
        super().finalize(status)
        if self._experiment is not None:
            self._wandb_init["id"] = self._experiment.id  # by which the test after a refit takes the run up again
            wandb.finish(exit_code=0 if status == "success" else 1)
            self._experiment = None
