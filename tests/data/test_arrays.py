"""Arrays in NumPy's and torch's files become tensors by the way of a table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lightsweep.data.arrays import ArraysDataModule, frame_of
from lightsweep.task import Task
from tests.data.table.tables import arrays

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (60, 4, 3)).astype(np.uint8)
Y = np.arange(60) % 3


def save(folder: Path, kind: str) -> ArraysDataModule:
    if kind == "npz":
        np.savez_compressed(folder / "a.npz", x=X, y=Y)
    elif kind == "npy":
        np.save(folder / "x.npy", X)
        np.save(folder / "y.npy", Y)
        return arrays(folder, "x.npy", y_path="y.npy")
    else:
        x, y = torch.from_numpy(X), torch.from_numpy(Y)
        torch.save({"x": x, "y": y} if kind == "pt" else (x, y), folder / f"a.{kind}")
    return arrays(folder, f"a.{kind}")


@pytest.mark.parametrize("kind", ["npz", "npy", "pt", "pth"])
def test_every_kind_of_file_gives_rows_of_standardised_numbers(kind: str, tmp_path: Path) -> None:
    data = save(tmp_path, kind)
    x, y = data.splits.train
    assert (data.d_in, data.d_out, data.task, list(data.classes)) == (12, 3, Task.MULTICLASS, [0, 1, 2])
    assert (len(x), len(y), x.dtype, y.dtype) == (39, 39, torch.float32, torch.int64)
    torch.testing.assert_close(x.mean(dim=0), torch.zeros(12), atol=1e-5, rtol=0)


def test_raw_arrays_can_be_transformed_as_they_were_given(tmp_path: Path) -> None:
    data = save(tmp_path, "npz")
    train = data.splits.train[0]
    every = data.preprocessing.transform(X.reshape(60, 12))
    assert {tuple(row) for row in train.tolist()} <= {tuple(row) for row in every.tolist()}


@pytest.mark.parametrize(
    ("y", "targets"),
    [(Y + 0.5, ("y",)), (Y[:, None] + 0.5, ("y",)), (np.column_stack([Y, Y]), ("y0", "y1"))],
)
def test_targets_may_be_values_and_several(y: np.ndarray, targets: tuple[str, ...], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=y)
    data = arrays(tmp_path, "a.npz")
    assert (data.task, data.targets) == (Task.REGRESSION, targets)
    assert data.splits.train[1].shape == (38, len(targets))


def test_classes_may_be_texts_and_cells_missing(tmp_path: Path) -> None:
    x = RNG.standard_normal((60, 2))
    x[::7, 1] = np.nan
    np.savez(tmp_path / "a.npz", x=x, y=np.where(Y == 0, "zero", "more"))
    data = arrays(tmp_path, "a.npz")
    assert (data.task, list(data.classes), data.d_in) == (Task.BINARY, ["more", "zero"], 3)


@pytest.mark.skipif(pd.__version__ < "3", reason="pandas 2 copies what it joins")
def test_the_features_of_the_table_are_not_copied() -> None:
    x = RNG.standard_normal((60, 4, 3))
    frame = frame_of(x, Y, name="a")
    assert [*frame.columns] == [*map(str, range(12)), "y"]
    assert np.shares_memory(frame["5"].to_numpy(), x)
