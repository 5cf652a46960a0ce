"""The base of all data modules: splits as tensors, batched on the training device."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as L
import torch
from torch import Tensor

from lightsweep.config.resampling import HOLDOUT, resampling_problems
from lightsweep.config.validation import problem_of
from lightsweep.data.batches import TensorBatches
from lightsweep.data.preprocessing import ArrayPreprocessing, Preprocessing
from lightsweep.data.resampling import FIRST_SPLIT, Resampling
from lightsweep.data.splits import Scaler, Splits
from lightsweep.data.target import Target, task_of
from lightsweep.errors import ConfigError
from lightsweep.task import Task

EVAL_BATCH_SIZE = 4096  # evaluation does not depend on the batch size; memory limits it
ROWS_FOR_QUANTILES = 25_000


class TensorDataModule(L.LightningDataModule):
    """Data as tensors; a subclass defines `splits`, and `classes` as the class name of each label.

    With `refit` the training split includes the validation rows, and there is no validation split.
    The defaults of the data attributes fit a classification with numeric features.
    """

    classes: Sequence[int | str]

    def __init__(
        self,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
        refit: bool,
        val_seed: int | None = None,
        fold: int | None = None,
        n_folds: int = 5,
        resampling: str = HOLDOUT,
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.refit = refit
        self._asked = {"val_seed": val_seed, "fold": fold, "n_folds": n_folds, "resampling": resampling}
        self.check_resampling()
        # A refit trains on the rows of any split. How a search resamples is for its sweeper.
        self.resampling = FIRST_SPLIT if refit else Resampling(val_seed=val_seed, fold=fold, n_folds=n_folds)

    def check_resampling(self, **other: Any) -> None:
        """Raise `ConfigError` if the keys for resampling do not fit together, or do not fit `other` keys."""
        values = (problem_of(f"data.{key}", value) for key, value in self._asked.items())
        for problem in (*filter(None, values), *resampling_problems({**self._asked, **other})):
            raise ConfigError(problem)

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
        """Mean and standard deviation of each regression target, in its unit; None for classes."""
        return self.target.scaler

    @property
    def preprocessing(self) -> Preprocessing:
        return ArrayPreprocessing(self.scaler)

    @property
    def n_numbers(self) -> int:
        """Number of leading columns of `x` that are numeric; the other columns are 0 or 1, or category codes."""
        return self.preprocessing.n_numbers

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of codes of each trailing column of `x`; empty without columns of codes."""
        return self.preprocessing.cardinalities

    @property
    def class_weights(self) -> tuple[float, ...] | None:
        return None

    def quantiles(self, n_bins: int) -> Tensor:
        """Return the edges of `n_bins` bins with equally many training rows, of shape `(n_numbers, n_bins + 1)`.

        A column with few distinct values has equal edges.
        """
        x = self.splits.train[0]
        step = -(-len(x) // ROWS_FOR_QUANTILES)
        numeric = x[::step, : self.n_numbers].numpy()  # torch.quantile takes at most 16 million values
        return torch.from_numpy(np.quantile(numeric, np.linspace(0, 1, n_bins + 1), axis=0).T.astype(np.float32))

    def train_dataloader(self) -> TensorBatches:
        return self._batches("train", batch_size=self.batch_size, shuffle_seed=self.seed if self.shuffle else None)

    def val_dataloader(self) -> TensorBatches | list[TensorBatches]:
        return [] if self.splits.val is None else self.evaluation_batches("val")

    def test_dataloader(self) -> TensorBatches:
        return self.evaluation_batches("test")

    def evaluation_batches(self, name: str) -> TensorBatches:
        """Return large batches of one split, in the order of its rows."""
        return self._batches(name, batch_size=EVAL_BATCH_SIZE)

    def _batches(self, name: str, *, batch_size: int, shuffle_seed: int | None = None) -> TensorBatches:
        x, y = getattr(self.splits, name)
        if self.trainer is not None:  # move the data once per fit, not once per batch
            device = self.trainer.strategy.root_device
            if _fits(x, device):
                x, y = x.to(device), y.to(device)
        return TensorBatches(x, y, batch_size=batch_size, shuffle_seed=shuffle_seed)


def _fits(x: Tensor, device: torch.device) -> bool:
    """True if the data take less than half of the free device memory; otherwise Lightning moves each batch."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return x.nbytes < free / 2
