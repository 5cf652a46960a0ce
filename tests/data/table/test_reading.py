"""Text files of many dialects become the same frames, with the line of each row."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lightsweep.data.reading.dialect import Dialect
from lightsweep.data.reading.frames import read_batches, read_frame, row_location
from lightsweep.data.saved_preprocessing import load_preprocessing
from tests.data.table.tables import mixed, table


@pytest.mark.parametrize(
    ("text", "columns", "line"),
    [
        ("\n\nx,y\n1,a\n\n2,b\n", {"x": [1, 2], "y": ["a", "b"]}, 6),
        ('"x\nz",y\n1,a\n', {"x\nz": [1], "y": ["a"]}, 3),
        ("x,y\r\n1,a\r\n2,b", {"x": [1, 2], "y": ["a", "b"]}, 3),
        ("x\ty\n1\ta\n", {"x": [1], "y": ["a"]}, 2),
        ("x,y,\n1,a,\n2,b,\n", {"x": [1, 2], "y": ["a", "b"]}, 3),
        ('x,y\n"1","a ""q"", b"\n', {"x": [1], "y": ['a "q", b']}, 2),
        ("x,400,y\n1,3,a\n2,4,b\n", {"x": [1, 2], "400": [3, 4], "y": ["a", "b"]}, 3),
        ("2019,2020,y\n3,4,a\n", {"2019": [3], "2020": [4], "y": ["a"]}, 2),
    ],
)
def test_a_text_file_may_have_many_dialects(
    text: str, columns: dict[str, list[Any]], line: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text, newline="")
    frame = read_frame(path)
    assert frame.to_dict("list") == columns
    assert row_location(path, len(frame) - 1).endswith(f"a.csv, line {line}")
    [batch] = read_batches(path)
    assert batch.to_dict("list") == {name: [str(value) for value in values] for name, values in columns.items()}


def test_a_later_block_may_widen_the_type_of_a_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightsweep.data.reading.text.BLOCK_BYTES", 64)
    rows = ["1,,01,2024-01-01"] * 30 + ["1.5,7,02,2024-01-01 10:00", "2,x,03,"]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["number,text,code,date", *rows]))
    frame = read_frame(path, text=["code"])
    assert [str(kind) for kind in frame.dtypes] == ["double[pyarrow]", *["string[pyarrow]"] * 3]
    assert frame.loc[30].tolist() == [1.5, "7", "02", "2024-01-01 10:00"]
    assert frame["text"].isna().sum() == 30
    assert row_location(path, 30).endswith("a.csv, line 32")


def test_a_decimal_comma_is_saved_with_the_preprocessing(tmp_path: Path) -> None:
    frame = mixed(100, missing=0.1)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "comma.csv", index=False, sep=";", decimal=",")
    settings: dict[str, Any] = {"target": "v", "drop": ["y", "city", "zip"]}
    expected, found = table(tmp_path, **settings), table(tmp_path, "comma.csv", decimal="comma", **settings)
    for one, other in zip(found.splits.train, expected.splits.train, strict=True):
        assert torch.equal(one, other)
    found.preprocessing.save(tmp_path)
    preprocessing: Any = load_preprocessing(tmp_path)
    assert preprocessing.columns.dialect == Dialect(decimal=",")
    [rows] = read_batches(tmp_path / "comma.csv", dialect=preprocessing.columns.dialect)
    np.testing.assert_array_equal(preprocessing.transform(rows), expected.preprocessing.transform(frame))


def test_a_level_with_a_comma_is_the_same_in_training_and_prediction(tmp_path: Path) -> None:
    levels = ["1,5", "2", "x"] * 20
    pd.DataFrame({"c": levels, "y": ["a", "b", "c"] * 20}).to_csv(tmp_path / "a.csv", index=False, sep=";")
    data = table(tmp_path, decimal="comma", kinds={"c": "category"})
    [rows] = read_batches(tmp_path / "a.csv", dialect=Dialect(decimal=","))
    assert (data.preprocessing.transform(rows).sum(axis=1) == 1).all()
