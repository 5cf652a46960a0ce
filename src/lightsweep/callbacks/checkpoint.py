"""The checkpoint of the best epoch: Lightning's own, configured."""

from pytorch_lightning.callbacks import ModelCheckpoint

from lightsweep.direction import Direction, lightning_mode


class BestCheckpoint(ModelCheckpoint):
    """Writes `<dirpath>/<filename>.ckpt` when `monitor` has reached a new best value.

    A file of the same name is replaced: a second fit in the same folder leaves no stale twin beside it.
    """

    looks_at_batches = False  # it saves at the end of a validation, whatever a step is

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
