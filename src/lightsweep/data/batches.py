"""Batches as slices of tensors that are already on the training device."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

GATHERED_VALUES = 2**18  # 1 MiB of floats: they fit into the CPU's cache, and their memory is reused


class EpochOrder:
    """The order of the rows in an epoch; it depends on seed and epoch alone, so a resumed fit repeats it.

    Lightning calls `set_epoch` on the `sampler` of a loader before every epoch.
    """

    def __init__(self, *, n: int, seed: int) -> None:
        self.n = n
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def permutation(self) -> Tensor:
        # NumPy mixes both numbers into the seed; torch's generator keeps only 32 bits of a seed.
        return torch.from_numpy(np.random.default_rng([self.seed, self.epoch]).permutation(self.n))


class TensorBatches:
    """Iterable of `(x, y)` slices of `batch_size` rows, the last one shorter.

    On the digits this takes a third of the time of a `DataLoader` over a `TensorDataset`. Shuffled rows are gathered a
    few batches ahead and never for a whole epoch, because mapped tensors may be larger than the memory.
    """

    batch_sampler = None  # Lightning reads this attribute of any loader with a sampler

    def __init__(self, x: Tensor, y: Tensor, *, batch_size: int, shuffle_seed: int | None) -> None:
        self.x = x
        self.y = y
        self.batch_size = batch_size
        self.sampler = None if shuffle_seed is None else EpochOrder(n=len(x), seed=shuffle_seed)

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        # A generator draws the order with the first batch; a resumed fit calls `set_epoch` after `iter`.
        if self.sampler is None:
            yield from self._cut(self.x, self.y)
            return
        values_per_batch = self.batch_size * self.x[:1].numel()
        n_rows = self.batch_size * max(1, GATHERED_VALUES // max(1, values_per_batch))
        for rows in torch.split(self.sampler.permutation().to(self.x.device), n_rows):
            x, y = self.x.index_select(0, rows), self.y.index_select(0, rows)  # 3 times as fast as `[rows]`
            yield from self._cut(x, y)

    def _cut(self, x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(torch.split(x, self.batch_size), torch.split(y, self.batch_size), strict=True)
