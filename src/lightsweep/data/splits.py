"""Stratified training, validation and test splits, standardized with the statistics of the training split."""

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightsweep.data.resampling import FIRST_SPLIT, Resampling, cut
from lightsweep.errors import ConfigError

TEST_FRACTION = 0.20
VAL_FRACTION = 0.16  # of all rows, so that 64 % are left for training
VALUES_PER_BLOCK = 2**15  # they fit into the CPU's cache

Floats = npt.NDArray[np.float32]
AnyFloats = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Scaler:
    """Mean and standard deviation per feature, in the unit of the feature; a constant feature has `std` 1.

    They have the precision of the data: a target in seconds since 1970 needs 64 bits.
    """

    mean: AnyFloats
    std: AnyFloats

    @classmethod
    def of(cls, x: AnyFloats, *, one_unit: bool = False) -> "Scaler":
        """Compute the statistics of `x`; with `one_unit` all features share one mean and one deviation.

        Pixels share a unit: scaled one by one, a pixel that is nearly always 0 would get very large values.
        """
        if one_unit:
            mean, std = x.mean(dtype=np.float64), x.std(dtype=np.float64)
        else:
            mean = x.mean(axis=0, dtype=np.float64)
            std = _std(x, mean)
        return cls(
            mean=np.broadcast_to(mean, x.shape[1:]).astype(x.dtype),
            std=np.broadcast_to(np.where(std > 0, std, 1.0), x.shape[1:]).astype(x.dtype),
        )

    @classmethod
    def robust(cls, x: AnyFloats) -> "Scaler":
        """Use the median and the quartiles, which a few values far outside do not change.

        For a normal distribution the result is that of `of`, because its quartiles are 1.349 deviations apart.
        """
        low, median, high = np.quantile(x, (0.25, 0.5, 0.75), axis=0)
        std = np.where(high > low, (high - low) / 1.349, x.std(axis=0))
        return cls(mean=median, std=np.where(std > 0, std, 1.0))

    def transform(self, x: AnyFloats) -> Floats:
        out = x - self.mean
        out /= self.std
        return out.astype(np.float32, copy=False)

    def inverse(self, x: Tensor) -> Tensor:
        return x * torch.from_numpy(self.std) + torch.from_numpy(self.mean)


def _std(x: AnyFloats, mean: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the deviation of each column, by blocks; `np.std` in 64 bits converts all values first and is slower."""
    squares = np.zeros_like(mean)
    n_rows = max(1, VALUES_PER_BLOCK // max(1, mean.size))
    for start in range(0, len(x), n_rows):
        deviations = x[start : start + n_rows] - mean
        squares += np.einsum("i...,i...->...", deviations, deviations)
    return np.sqrt(squares / len(x))


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Features `(n, d_in)` and targets of each split, with the scaler that made the features.

    Targets are labels `(n,)`, or standardised values `(n, n_targets)`.
    """

    train: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor] | None
    test: tuple[Tensor, Tensor]
    scaler: Scaler

    @cached_property  # the trials of a process share the splits
    def digest(self) -> str:
        """The number of rows of training and validation, and a checksum of their values; a trial reads no test rows."""
        parts = [part for part in (self.train, self.val) if part is not None]
        checksum = 0
        for tensor in (tensor for part in parts for tensor in part):
            checksum = zlib.crc32(np.ascontiguousarray(tensor.numpy()).data, checksum)
        return f"{' + '.join(str(len(x)) for x, _ in parts)} rows, checksum {checksum:08x}"


def stratified_rows(y: Labels, *, seed: int, val_fraction: float, test_fraction: float) -> tuple[Rows, Rows, Rows]:
    """Return the rows of training, validation and test; each class is split by these fractions of all rows."""
    rest, test = cut(np.random.default_rng(seed).permutation(len(y)), y, test_fraction)
    train, val = cut(rest, y, val_fraction / (1 - test_fraction))
    return train, val, test


def split(
    x: Floats,
    y: Labels,
    *,
    seed: int,
    refit: bool,
    one_unit: bool = False,
    resampling: Resampling = FIRST_SPLIT,
) -> Splits:
    """Split the rows 64/16/20 %, stratified by class; with `refit` training and validation are one split.

    The test rows depend on the seed alone, so a refit is tested on rows that no trial has seen.
    For `one_unit` see `Scaler.of`.
    Raises `ConfigError` if a class has too few rows to be in every split.
    """
    train, val, test = stratified_rows(y, seed=seed, val_fraction=VAL_FRACTION, test_fraction=TEST_FRACTION)
    if not resampling.is_first:
        rest = np.concatenate([train, val])
        is_val = resampling.validation(y[rest], fraction=len(val) / len(rest), seed=seed)
        train, val = rest[~is_val], rest[is_val]
    classes, sizes = np.unique(y, return_counts=True)
    if any(len(np.unique(y[part])) < len(classes) for part in (train, val, test)):
        raise ConfigError(
            f"data: {len(y)} rows of {len(classes)} classes are too few for stratified splits of 64/16/20 %"
            f" (class {classes[sizes.argmin()]} has {sizes.min()}). Give more rows or fewer classes."
        )
    if refit:
        train, val = cut(np.random.default_rng(seed).permutation(len(y)), y, TEST_FRACTION)[0], val[:0]
    scaler = Scaler.of(x[train], one_unit=one_unit)

    def tensors(part: Rows) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(scaler.transform(x[part])), torch.from_numpy(y[part])

    return Splits(train=tensors(train), val=tensors(val) if len(val) else None, test=tensors(test), scaler=scaler)
