"""`data=arrays`: features and targets that are arrays already, from NumPy's and torch's files."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from lightsweep.data.table.frames import FrameDataModule, identity_of
from lightsweep.data.table.labels import Table
from lightsweep.errors import ConfigError, first_few
from lightsweep.files import shown

ENDINGS = (".npz", ".npy", ".pt", ".pth")
TARGET = "y"
SPLITS = (None, "stratified", "random")

Array = npt.NDArray[Any]


class ArraysDataModule(FrameDataModule):
    """`x` of shape `(n, ...)`, of which each row is taken as one long row, and `y` of shape `(n,)` or `(n, n_targets)`.

    Both lie in one .npz or .pt file, or each in a .npy file.
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
            _check_file(path)
        return {"arrays": [identity_of(path) for path in paths]}

    def tables(self) -> dict[str, Table]:
        x, y = read_arrays(self.path, self.y_path)
        name = shown(self.path)
        frame = frame_of(x, y, name=shown(self.y_path or self.path))
        targets = [column for column in frame.columns if column.startswith(TARGET)]
        return {"train": Table(name, frame, lambda row: f"{name}, row {row} (counted from 0)", targets)}


def read_arrays(path: Path, y_path: Path | None) -> tuple[Array, Array]:
    """Read `x` and `y`; nothing in the files is executed.

    Raises `ConfigError` if a file is missing or damaged, holds code, or something else than two arrays of one length.
    """
    _check_file(path)
    if (path.suffix == ".npy") != (y_path is not None):
        raise ConfigError(
            f"data.path is '{shown(path)}' and data.y_path is {'null' if y_path is None else repr(shown(y_path))};"
            " a .npy file holds one array, so it needs data.y_path for the targets, and no other file does."
        )
    if y_path is not None:
        x, y = _loaded(path), _loaded(y_path)
    else:
        x, y = _pair(_loaded(path), path)
    x, y = _plain(x, path, "x", kinds="biuf"), _plain(y, y_path or path, "y", kinds="biufUS")
    if len(x) != len(y):
        of_y = f"y in {shown(y_path)}" if y_path else "y"
        raise ConfigError(f"{shown(path)}: x has {len(x)} rows, but {of_y} has {len(y)}. Each row of x needs one of y.")
    if not x.size:
        raise ConfigError(f"{shown(path)}: x has the shape {x.shape}, so it is empty.")
    return x, y


def frame_of(x: Array, y: Array, *, name: str) -> pd.DataFrame:
    """The arrays as a table whose columns are named 0, 1, 2, ... and y, or y0, y1, ...; features are not copied.

    Raises `ConfigError` if a target has more than one dimension.
    """
    if y.ndim > 2 or (y.ndim == 2 and not y.shape[1]):
        raise ConfigError(f"{name}: y has the shape {y.shape}; it must be (n,), or (n, number of targets).")
    flat = x.reshape(len(x), -1)
    features = pd.DataFrame(flat, columns=[str(i) for i in range(flat.shape[1])], copy=False)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    names = [TARGET] if y.ndim == 1 else [f"{TARGET}{i}" for i in range(y.shape[1])]
    return pd.concat([features, pd.DataFrame(y.reshape(len(y), -1), columns=names)], axis=1)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise ConfigError(f"{shown(path)} {'is not a file' if path.exists() else 'does not exist'}.")
    if path.suffix not in ENDINGS:
        raise ConfigError(f"{shown(path)} has an ending that is not known; it must be one of {', '.join(ENDINGS)}.")
    if path.stat().st_size == 0:
        raise ConfigError(f"{shown(path)} is empty.")


def _loaded(path: Path) -> Any:
    try:
        if path.suffix in (".pt", ".pth"):
            with warnings.catch_warnings(action="ignore"):  # of a pickle that is refused next
                return torch.load(path, map_location="cpu", weights_only=True)
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except Exception as error:  # a file that is none of ours makes the readers raise whatever they like
        if not isinstance(error, pickle.UnpicklingError) and "weights_only" not in str(error):
            why = "it holds Python objects" if "allow_pickle" in str(error) else " ".join(str(error).split())
            raise ConfigError(f"{shown(path)} can't be read: {why}.") from error
        raise ConfigError(
            f"{shown(path)} holds more than tensors, which could be code, so it is not loaded. Save a dictionary or a"
            " pair of tensors: torch.save({'x': x, 'y': y}, ...)."
        ) from error


def _pair(loaded: Any, path: Path) -> tuple[Any, Any]:
    if isinstance(loaded, Mapping) and "x" in loaded and "y" in loaded:
        return loaded["x"], loaded["y"]
    if isinstance(loaded, list | tuple) and len(loaded) == 2:
        return loaded[0], loaded[1]
    held = f"the keys {first_few([*loaded])}" if isinstance(loaded, Mapping) else type(loaded).__name__
    raise ConfigError(f"{shown(path)} holds {held}; it must hold two arrays, x and y.")


def _plain(value: Any, path: Path, name: str, *, kinds: str) -> Array:
    try:
        if isinstance(value, torch.Tensor):
            value = (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # sparse, quantised, on no device, ragged
        raise ConfigError(
            f"{shown(path)}: {name} is no plain array of numbers: {' '.join(str(error).split())}."
        ) from error
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
