"""What every data module of this package shares: splits as tensors, batches cut on the training device."""

from abc import abstractmethod
from collections.abc import Sequence

import pytorch_lightning as L

from lightsweep.data.batches import TensorBatches
from lightsweep.data.preprocessing import ArrayPreprocessing, Preprocessing
from lightsweep.data.splits import Scaler, Splits
from lightsweep.data.target import Target, task_of

EVAL_BATCH_SIZE = 4096  # nothing is learned from these batches, so only memory limits them


class TensorDataModule(L.LightningDataModule):
    """Classification data that fits into memory: a subclass gives its `splits`, and the name of each class by label.

    With `refit` the training split holds the validation rows as well and there is no validation split.
    """

    classes: Sequence[int | str]

    def __init__(self, *, batch_size: int, shuffle: bool, seed: int, refit: bool) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.refit = refit

    @property
    @abstractmethod
    def splits(self) -> Splits: ...

    @property
    def d_in(self) -> int:
        return int(self.splits.train[0].shape[1])

    @property
    def d_out(self) -> int:
        return len(self.classes)

    @property
    def scaler(self) -> Scaler:
        return self.splits.scaler

    @property
    def target(self) -> Target:
        return Target(task=task_of(len(self.classes)), names=("target",), classes=tuple(self.classes))

    @property
    def preprocessing(self) -> Preprocessing:
        return ArrayPreprocessing(self.scaler)

    def train_dataloader(self) -> TensorBatches:
        return self._batches("train", batch_size=self.batch_size, shuffle_seed=self.seed if self.shuffle else None)

    def val_dataloader(self) -> TensorBatches | list[TensorBatches]:
        return [] if self.splits.val is None else self.evaluation_batches("val")

    def test_dataloader(self) -> TensorBatches:
        return self.evaluation_batches("test")

    def evaluation_batches(self, name: str) -> TensorBatches:
        """The rows of one split in order, in large batches."""
        return self._batches(name, batch_size=EVAL_BATCH_SIZE)

    def _batches(self, name: str, *, batch_size: int, shuffle_seed: int | None = None) -> TensorBatches:
        x, y = getattr(self.splits, name)
        if self.trainer is not None:  # once per fit instead of once per batch
            device = self.trainer.strategy.root_device
            x, y = x.to(device), y.to(device)
        return TensorBatches(x, y, batch_size=batch_size, shuffle_seed=shuffle_seed)
