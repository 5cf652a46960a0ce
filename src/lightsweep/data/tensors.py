"""What every data module of this package shares: splits as tensors, batches cut on the training device."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import pytorch_lightning as L
import torch
from torch import Tensor

from lightsweep.data.batches import TensorBatches
from lightsweep.data.preprocessing import ArrayPreprocessing, Preprocessing
from lightsweep.data.splits import Scaler, Splits
from lightsweep.data.target import Target, task_of
from lightsweep.task import Task

EVAL_BATCH_SIZE = 4096  # nothing is learned from these batches, so only memory limits them
ROWS_FOR_QUANTILES = 25_000


class TensorDataModule(L.LightningDataModule):
    """Data that fits into memory: a subclass gives its `splits`, and the name of each class by label.

    With `refit` the training split holds the validation rows as well and there is no validation split.
    What a model may ask for beside `d_in` and `d_out` has defaults here that suit classes and plain numbers.
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
        return self.target.d_out

    @property
    def scaler(self) -> Scaler:
        return self.splits.scaler

    @property
    def target(self) -> Target:
        return Target(task=task_of(len(self.classes)), names=("target",), classes=tuple(self.classes))

    @property
    def task(self) -> Task:
        return self.target.task

    @property
    def targets(self) -> tuple[str, ...]:
        return self.target.names

    @property
    def target_scaler(self) -> Scaler | None:
        """Mean and standard deviation of each regression target, in its own unit; None for classes."""
        return self.target.scaler

    @property
    def preprocessing(self) -> Preprocessing:
        return ArrayPreprocessing(self.scaler)

    @property
    def n_numbers(self) -> int:
        """How many of the first columns of `x` are numbers; what follows is 0 or 1, or a code."""
        return self.preprocessing.n_numbers

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """How many codes each of the last columns of `x` has; there are none if all columns are numbers."""
        return self.preprocessing.cardinalities

    @property
    def class_weights(self) -> tuple[float, ...] | None:
        return None

    def quantiles(self, n_bins: int) -> Tensor:
        """Edges of `n_bins` bins with equally many training rows, of shape `(n number columns, n_bins + 1)`.

        A column with few values has edges that are equal.
        """
        x = self.splits.train[0]
        every = -(-len(x) // ROWS_FOR_QUANTILES)
        numbers = x[::every, : self.n_numbers]
        # Not by torch, which takes no more than 16 million values at once.
        return torch.from_numpy(
            np.quantile(numbers.numpy(), np.linspace(0, 1, n_bins + 1), axis=0).T.astype(np.float32)
        )

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
            if _fits(x, device):
                x, y = x.to(device), y.to(device)
        return TensorBatches(x, y, batch_size=batch_size, shuffle_seed=shuffle_seed)


def _fits(x: Tensor, device: torch.device) -> bool:
    """Whether the data leave room on the device; if not, each batch is moved when its turn comes."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return x.nbytes < free / 2
