"""Early stopping."""

from pytorch_lightning.callbacks import EarlyStopping as LightningEarlyStopping

from lightsweep.direction import Directions, Monitor, lightning_mode, listed


class EarlyStopping(LightningEarlyStopping):
    """Ends the fit after `patience` validations without an improvement of more than `min_delta`.

    The trial is then complete, not pruned, because it was not compared with other trials. Of several objectives the
    first one counts.
    """

    def __init__(self, *, monitor: Monitor, direction: Directions, patience: int, min_delta: float) -> None:
        super().__init__(
            monitor=listed(monitor)[0],
            mode=lightning_mode(listed(direction)[0]),
            patience=patience,
            min_delta=min_delta,
            check_on_train_epoch_end=False,  # training may log a metric of the same name after the validation
        )
