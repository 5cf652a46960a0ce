"""Early stopping."""

from pytorch_lightning.callbacks import EarlyStopping as LightningEarlyStopping

from lightsweep.direction import Direction, lightning_mode


class EarlyStopping(LightningEarlyStopping):
    """Ends the fit after `patience` validations without an improvement of more than `min_delta`.

    The trial is then complete, not pruned, because it was not compared with other trials.
    """

    def __init__(self, *, monitor: str, direction: Direction, patience: int, min_delta: float) -> None:
        super().__init__(
            monitor=monitor,
            mode=lightning_mode(direction),
            patience=patience,
            min_delta=min_delta,
            check_on_train_epoch_end=False,  # training may log a metric of the same name after the validation
        )
