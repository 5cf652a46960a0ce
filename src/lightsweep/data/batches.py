"""Mini-batches cut from tensors that already lie on the training device."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


class EpochOrder:
    """The order of the rows in each epoch: a function of seed and epoch alone, so that a resumed fit repeats it.

    Lightning calls `set_epoch` on the `sampler` of a loader before every epoch.
    """

    def __init__(self, *, n: int, seed: int) -> None:
        self.n = n
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def permutation(self) -> Tensor:
        # NumPy mixes the two numbers; torch's generator keeps no more than 32 bits of a seed.
        return torch.from_numpy(np.random.default_rng([self.seed, self.epoch]).permutation(self.n))


class TensorBatches:
    """Yields `(x, y)` slices of `batch_size` rows, the last one shorter: no per-sample indexing, no collation.

    Measured on the digits, this takes a third of the time of a `DataLoader` over a `TensorDataset`.
    """

    batch_sampler = None  # Lightning looks for it wherever there is a sampler

    def __init__(self, x: Tensor, y: Tensor, *, batch_size: int, shuffle_seed: int | None) -> None:
        self.x = x
        self.y = y
        self.batch_size = batch_size
        self.sampler = None if shuffle_seed is None else EpochOrder(n=len(x), seed=shuffle_seed)

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        # A generator, so that the order is drawn with the first batch: a resumed fit sets the epoch only after `iter`.
        if self.sampler is None:
            x, y = self.x, self.y
        else:
            order = self.sampler.permutation().to(self.x.device)
            x, y = self.x[order], self.y[order]
        yield from zip(torch.split(x, self.batch_size), torch.split(y, self.batch_size), strict=True)
