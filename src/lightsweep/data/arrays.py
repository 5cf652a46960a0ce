"""`data=arrays`: features and targets from array files of NumPy and torch."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from lightsweep.data.reading.frames import check_file
from lightsweep.data.table.module import FrameDataModule, file_identity
from lightsweep.data.table.source import Table
from lightsweep.errors import ConfigError, first_few
from lightsweep.files import shown

EXTENSIONS = (".npz", ".npy", ".pt", ".pth")
TARGET = "y"
SPLITS = (None, "stratified", "random")

Array = npt.NDArray[Any]


class ArraysDataModule(FrameDataModule):
    """`x` of shape `(n, ...)`, flattened to one row per sample, and `y` of shape `(n,)` or `(n, n_targets)`.

    Both are in one .npz or .pt file, or each in a .npy file.
    """

    def __init__(self, *, path: str, y_path: str | None, split: str | None, **table: Any) -> None:
        if split not in SPLITS:
            raise ConfigError(
                f"data.split is {split}; arrays have no column to split by, so it must be null, stratified or random."
            )
        super().__init__(split=split, **table)
        self.path = self.relative_to / path
        self.y_path = self.relative_to / y_path if y_path else None

    @property
    def short_name(self) -> str:
        return self.path.name.split(".")[0]

    def identity(self) -> Mapping[str, Any]:
        paths = [self.path, *([self.y_path] if self.y_path else [])]
        for path in paths:
            check_file(path, EXTENSIONS)
        return {"arrays": [file_identity(path) for path in paths]}

    def tables(self) -> dict[str, Table]:
        x, y = read_arrays(self.path, self.y_path)
        name = shown(self.path)
        frame = frame_of(x, y, name=shown(self.y_path or self.path))
        targets = [column for column in frame.columns if column.startswith(TARGET)]
        return {"train": Table(name, frame, lambda row: f"{name}, row {row} (counted from 0)", targets)}


def read_arrays(path: Path, y_path: Path | None) -> tuple[Array, Array]:
    """Read `x` and `y` without executing anything in the files.

    Raises `ConfigError` if a file can't be read, contains code, or does not hold two arrays of equal length.
    """
    if (path.suffix.lower() == ".npy") != (y_path is not None):
        raise ConfigError(
            f"data.path is '{shown(path)}' and data.y_path is {'null' if y_path is None else repr(shown(y_path))};"
            " a .npy file holds one array, so it needs data.y_path for the targets, and no other file does."
        )
    x, y = _pair(_load(path), path) if y_path is None else (_load(path), _load(y_path))
    x, y = _as_array(x, path, "x", kinds="biuf"), _as_array(y, y_path or path, "y", kinds="biufUS")
    if len(x) != len(y):
        of_y = f"y in {shown(y_path)}" if y_path else "y"
        raise ConfigError(f"{shown(path)}: x has {len(x)} rows, but {of_y} has {len(y)}. Each row of x needs one of y.")
    if not x.size:
        raise ConfigError(f"{shown(path)}: x has the shape {x.shape}, so it is empty.")
    return x, y


def frame_of(x: Array, y: Array, *, name: str) -> pd.DataFrame:
    """Return a table with the columns 0, 1, 2, ... and y, or y0, y1, ...; the features are not copied.

    Raises `ConfigError` if `y` has more than two dimensions, or no columns.
    """
    if y.ndim > 2 or (y.ndim == 2 and not y.shape[1]):
        raise ConfigError(f"{name}: y has the shape {y.shape}; it must be (n,), or (n, number of targets).")
    flat = x.reshape(len(x), -1)
    features = pd.DataFrame(flat, columns=[str(i) for i in range(flat.shape[1])], copy=False)
    y = y.reshape(len(y), -1)
    names = [TARGET] if y.shape[1] == 1 else [f"{TARGET}{i}" for i in range(y.shape[1])]
    return pd.concat([features, pd.DataFrame(y, columns=names)], axis=1)


def _load(path: Path) -> Any:
    try:
        if path.suffix.lower() in (".pt", ".pth"):
            with warnings.catch_warnings(action="ignore"):  # torch warns of a pickle before it refuses it
                return torch.load(path, map_location="cpu", weights_only=True)
        if path.suffix.lower() == ".npy":
            return np.load(path, allow_pickle=False)
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except Exception as error:  # the readers raise many types for a damaged file
        if not isinstance(error, pickle.UnpicklingError) and "weights_only" not in str(error):
            reason = "it holds Python objects" if "allow_pickle" in str(error) else " ".join(str(error).split())
            raise ConfigError(f"{shown(path)} can't be read: {reason}.") from error
        raise ConfigError(
            f"{shown(path)} holds more than tensors, which could be code, so it is not loaded. Save a dictionary or a"
            " pair of tensors: torch.save({'x': x, 'y': y}, ...)."
        ) from error


def _pair(loaded: Any, path: Path) -> tuple[Any, Any]:
    if isinstance(loaded, Mapping) and "x" in loaded and "y" in loaded:
        return loaded["x"], loaded["y"]
    if isinstance(loaded, list | tuple) and len(loaded) == 2:
        return loaded[0], loaded[1]
    content = f"the keys {first_few([*loaded])}" if isinstance(loaded, Mapping) else type(loaded).__name__
    raise ConfigError(f"{shown(path)} holds {content}; it must hold two arrays, x and y.")


def _as_array(value: Any, path: Path, name: str, *, kinds: str) -> Array:
    """Return an array of one of the NumPy `kinds`, in native byte order and at most 64 bits per float."""
    try:
        if isinstance(value, torch.Tensor):
            value = (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # sparse, quantized, meta device, ragged
        reason = " ".join(str(error).split())
        raise ConfigError(f"{shown(path)}: {name} is not a plain array of numbers: {reason}.") from error
    if array.ndim == 0 or array.dtype.kind not in kinds:
        raise ConfigError(
            f"{shown(path)}: {name} has the type {array.dtype} and the shape {array.shape}; it must be an array of"
            f" numbers{', or of texts' if 'U' in kinds else ''}."
        )
    if array.dtype.kind == "S":
        return array.astype(str)
    if array.dtype.kind == "f" and array.dtype.itemsize > np.dtype(np.float64).itemsize:
        return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)
