"""Array files of NumPy and torch become tensors; errors in them are one message."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lightsweep.data.arrays import ArraysDataModule, frame_of
from lightsweep.data.table.module import TableDataModule
from lightsweep.errors import ConfigError
from lightsweep.task import Task
from tests.data.table.tables import arrays, message_of

pytestmark = pytest.mark.usefixtures("in_tmp_path")

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
def test_every_file_format_gives_standardized_rows(kind: str, tmp_path: Path) -> None:
    data = save(tmp_path, kind)
    x, y = data.splits.train
    assert (data.d_in, data.d_out, data.task, list(data.classes)) == (12, 3, Task.MULTICLASS, [0, 1, 2])
    assert (len(x), len(y), x.dtype, y.dtype) == (39, 39, torch.float32, torch.int64)
    torch.testing.assert_close(x.mean(dim=0), torch.zeros(12), atol=1e-5, rtol=0)


def test_the_preprocessing_transforms_raw_arrays(tmp_path: Path) -> None:
    data = save(tmp_path, "npz")
    train = data.splits.train[0]
    all_rows = data.preprocessing.transform(X.reshape(60, 12))
    assert {tuple(row) for row in train.tolist()} <= {tuple(row) for row in all_rows.tolist()}


@pytest.mark.parametrize(
    ("y", "targets"),
    [(Y + 0.5, ("y",)), (Y[:, None] + 0.5, ("y",)), (np.column_stack([Y, Y]), ("y0", "y1"))],
)
def test_targets_may_be_one_or_several_numbers(y: np.ndarray, targets: tuple[str, ...], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=y)
    data = arrays(tmp_path, "a.npz")
    assert (data.task, data.targets) == (Task.REGRESSION, targets)
    assert data.splits.train[1].shape == (38, len(targets))


def test_classes_may_be_texts_and_features_missing(tmp_path: Path) -> None:
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


def save_npz(**content: Any) -> Callable[[], None]:
    return lambda: np.savez("a.npz", **content)


def save_pt(content: Any) -> Callable[[], None]:
    return lambda: torch.save(content, "a.pt")


A, B = np.arange(60.0).reshape(30, 2), np.arange(30) % 2

CASES: dict[str, tuple[Callable[[], None], str, str]] = {
    "lengths differ": (save_npz(x=A, y=B[:-1]), "a.npz", "a.npz: x has 30 rows, but y has 29"),
    "no y": (save_npz(x=A, z=B), "a.npz", "a.npz holds the keys x, z; it must hold two arrays, x and y"),
    "objects": (save_npz(x=A, y=np.array([{}] * 30)), "a.npz", "a.npz can't be read: it holds Python objects"),
    "infinite": (
        save_npz(x=np.where(A == 7, np.inf, A), y=B),
        "a.npz",
        "row 3 (counted from 0), column '1' is inf, which is not a finite 32-bit number. Mark it as missing, with an"
        " empty cell or with NaN in an array, or write a number up to 3e+38.",
    ),
    "no rows": (save_npz(x=A[:0], y=B[:0]), "a.npz", "x has the shape (0, 2), so it is empty"),
    "y of three dimensions": (save_npz(x=A, y=np.zeros((30, 2, 2))), "a.npz", "y has the shape (30, 2, 2)"),
    "texts in x": (save_npz(x=A.astype(str), y=B), "a.npz", "a.npz: x has the type <U32"),
    "code": (save_pt(TableDataModule), "a.pt", "a.pt holds more than tensors, which could be code"),
    "three tensors": (save_pt([torch.zeros(3)] * 3), "a.pt", "a.pt holds list; it must hold two arrays, x and y"),
    "plain pickle": (lambda: Path("a.pt").write_bytes(pickle.dumps(Path)), "a.pt", "a.pt holds more than tensors"),
    "no archive": (lambda: Path("a.npz").write_text("x"), "a.npz", "a.npz can't be read"),
    "one array": (lambda: np.save("a.npy", A), "a.npy", "a .npy file holds one array, so it needs data.y_path"),
    "unknown ending": (lambda: Path("a.mat").write_text("x"), "a.mat", "a.mat has an unknown extension"),
    "missing file": (lambda: None, "a.npz", "a.npz does not exist."),
    "empty file": (lambda: Path("a.pt").touch(), "a.pt", "a.pt is empty."),
}


@pytest.mark.parametrize(("save", "path", "message"), CASES.values(), ids=CASES)
def test_an_error_in_arrays_is_one_message(save: Callable[[], None], path: str, message: str, tmp_path: Path) -> None:
    save()
    assert message in message_of(arrays(tmp_path, path))


def test_an_error_in_y_names_the_file_of_y(tmp_path: Path) -> None:
    np.save("x.npy", A)
    np.save("y.npy", B[:9])
    message = "x.npy: x has 30 rows, but y in y.npy has 9. Each row of x needs one of y."
    assert message_of(arrays(tmp_path, "x.npy", y_path="y.npy")) == message
    np.save("y.npy", np.zeros((30, 2, 2)))
    assert message_of(arrays(tmp_path, "x.npy", y_path="y.npy")).startswith("y.npy: y has the shape (30, 2, 2)")


def test_arrays_have_no_column_to_split_by(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.split is group; arrays have no column to split by"):
        arrays(tmp_path, "a.npz", split="group")
