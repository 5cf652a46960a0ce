"""Weights & Biases with one run per training."""

import wandb
from pytorch_lightning.loggers import WandbLogger as LightningWandbLogger


class WandbLogger(LightningWandbLogger):
    """Lightning's logger with an `end_run`; without it, the next trial in this process would log to the same run."""

    def end_run(self, *, failed: bool) -> None:
        """Finish the run of this process, if there is one."""
        if wandb.run is not None:
            wandb.finish(exit_code=1 if failed else 0)
