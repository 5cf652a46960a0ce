"""The checkpoint of the best epoch."""

from pytorch_lightning.callbacks import ModelCheckpoint

from lightsweep.direction import Directions, Monitor, lightning_mode, listed


class BestCheckpoint(ModelCheckpoint):
    """Writes `<dirpath>/<filename>.ckpt` when `monitor` reaches a new best value, and replaces a file of that name.

    Of several objectives the first one counts.
    """

    needs_every_batch = False  # it saves only after a validation

    def __init__(self, *, dirpath: str, filename: str, monitor: Monitor, direction: Directions) -> None:
        super().__init__(
            dirpath=dirpath,
            filename=filename,
            monitor=listed(monitor)[0],
            mode=lightning_mode(listed(direction)[0]),
            auto_insert_metric_name=False,
            enable_version_counter=False,
            save_on_train_epoch_end=False,  # training may log a metric of the same name after the validation
            save_weights_only=True,  # half the time, a third of the size; last.ckpt is for resuming
        )
