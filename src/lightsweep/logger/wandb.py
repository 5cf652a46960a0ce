"""Weights & Biases, one run per training."""

import wandb
from pytorch_lightning.loggers import WandbLogger as LightningWandbLogger


class WandbLogger(LightningWandbLogger):
    """Ends its run when the training is over. Lightning's own leaves it open, and the next trial would join it."""

    def end_run(self, *, failed: bool) -> None:
        """Finish the run of this process, if one was begun."""
        if wandb.run is not None:
            wandb.finish(exit_code=1 if failed else 0)
