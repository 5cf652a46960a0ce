"""The preprocessing of a table: fitted on training rows, tolerant of new rows, and saved without code."""

import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import skops.io
import torch
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from lightsweep.data.reading.frames import read_batches
from lightsweep.data.saved_preprocessing import load_preprocessing
from lightsweep.data.table.preprocessing import load_transformer
from lightsweep.data.unseen_levels import UnseenLevels
from lightsweep.errors import ConfigError
from tests.data.table.tables import OTHER_TARGETS, WRITERS, mixed, rows_of, table, write_numbered


@pytest.mark.parametrize("scale", ["standard", "quantile", "robust_smooth"])
def test_only_training_rows_are_fitted(scale: str, tmp_path: Path) -> None:
    write_numbered(tmp_path, g=["seen"] * 100)
    [_, val, test] = rows_of(table(tmp_path, drop=["g"]))
    frame = pd.read_csv(tmp_path / "a.csv")
    frame.to_csv(tmp_path / "b.csv", index=False)
    frame.loc[val + test, "i"] = 1e6
    frame.loc[val + test, "g"] = "unseen"
    frame.to_csv(tmp_path / "c.csv", index=False)
    before, after = (table(tmp_path, path, scale=scale) for path in ("b.csv", "c.csv"))
    assert torch.equal(before.splits.train[0], after.splits.train[0])
    assert after.splits.test[0][:, 1].tolist() == [0.0] * 20  # an unseen level has no one-hot column


def test_unseen_levels_and_missing_values_are_encoded(tmp_path: Path) -> None:
    mixed().to_csv(tmp_path / "a.csv", index=False)
    preprocessing: Any = table(tmp_path, drop=OTHER_TARGETS).preprocessing
    row = dict.fromkeys(mixed().columns) | {"city": "unseen", "plan": "unseen", "other": 1}
    with pytest.warns(UnseenLevels):
        [x] = preprocessing.transform(pd.DataFrame([row]))
    features = dict(zip(preprocessing.features, x.tolist(), strict=True))
    assert features["city"] == 0
    assert [features[f"plan_{level}"] for level in ("", "basic", "plus", "pro")] == [0, 0, 0, 0]
    assert features["missingindicator_age"] == features["missingindicator_since (days)"] == 1
    assert np.isfinite(x).all()


def test_a_loaded_preprocessing_transforms_as_the_saved_one(tmp_path: Path) -> None:
    frame = mixed()
    frame.to_csv(tmp_path / "a.csv", index=False)
    fitted = table(tmp_path, drop=OTHER_TARGETS, scale="quantile").preprocessing
    (tmp_path / "saved").mkdir()
    fitted.save(tmp_path / "saved", target={"task": "binary"})
    loaded = load_preprocessing(tmp_path / "saved")
    assert (loaded.d_in, loaded.cardinalities) == (fitted.d_in, fitted.cardinalities)
    expected = fitted.transform(frame)
    batches = list(read_batches(tmp_path / "a.csv", rows=150))
    assert [len(batch) for batch in batches] == [150, 150, 100]
    reversed_columns = [batch[[*batch.columns[::-1]]] for batch in batches]
    np.testing.assert_allclose(np.concatenate([loaded.transform(b) for b in reversed_columns]), expected, atol=1e-5)
    with pytest.raises(ConfigError, match="the table has no column 'city'"):
        loaded.transform(frame.drop(columns="city"))


def test_saved_files_that_do_not_match_are_refused(tmp_path: Path) -> None:
    mixed(60).to_csv(tmp_path / "a.csv", index=False)
    table(tmp_path, drop=OTHER_TARGETS).preprocessing.save(tmp_path)
    record = json.loads((tmp_path / "preprocessing.json").read_text())
    record["columns"].pop()
    (tmp_path / "preprocessing.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=r"preprocessing\.json and preprocessing\.skops have different columns"):
        load_preprocessing(tmp_path)


def test_a_saved_file_with_another_estimator_is_refused(tmp_path: Path) -> None:
    write_numbered(tmp_path)
    table(tmp_path).preprocessing.save(tmp_path)
    skops.io.dump(LogisticRegression(), tmp_path / "preprocessing.skops")
    with pytest.raises(ConfigError, match=r"can't be read as a preprocessing: .*holds a LogisticRegression"):
        load_preprocessing(tmp_path)


@pytest.mark.parametrize(
    "estimator",
    [
        Pipeline([("scale", StandardScaler()), ("other", MinMaxScaler())]),
        ColumnTransformer([("in", Pipeline([("other", MinMaxScaler())]), [0])]),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_another_estimator_is_refused_at_any_depth(estimator: Any, tmp_path: Path) -> None:
    skops.io.dump(estimator.fit(np.arange(12.0).reshape(4, 3), [0, 1, 0, 1]), tmp_path / "file")
    with pytest.raises(TypeError, match="file holds a MinMaxScaler"):
        load_transformer(tmp_path / "file")


def test_other_types_and_pickles_are_refused(tmp_path: Path) -> None:
    skops.io.dump(Path(), tmp_path / "file")
    with pytest.raises(Exception, match="Untrusted types found in the file"):
        load_transformer(tmp_path / "file")
    (tmp_path / "file").write_bytes(pickle.dumps(StandardScaler()))
    with pytest.raises(Exception, match="zip"):
        load_transformer(tmp_path / "file")


def test_errors_locate_rows_of_a_frame_by_number(tmp_path: Path) -> None:
    write_numbered(tmp_path)
    frame = pd.DataFrame({"i": [1, "two"]}, index=["a", "b"])
    with pytest.raises(ConfigError, match=r"row 1 \(counted from 0\), column 'i' is 'two', which is not a number"):
        table(tmp_path).preprocessing.transform(frame)


def test_levels_do_not_depend_on_the_type_of_a_file(tmp_path: Path) -> None:
    """Floats that are a category, and codes of which another file has none with a letter."""
    frame = pd.DataFrame({"k": [1.0, 2.0, 3.0] * 20, "z": ["01", "02", "A3"] * 20, "y": ["a", "b", "c"] * 20})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame[frame["z"] != "A3"].to_csv(tmp_path / "val.csv", index=False)
    data = table(tmp_path, val_path=str(tmp_path / "val.csv"), kinds={"k": "category"}, one_hot_up_to=10)
    assert data.splits.val is not None
    assert (data.splits.val[0].sum(dim=1) == 2).all()
    for rows in (frame, pd.read_csv(tmp_path / "a.csv"), frame.assign(k=frame["k"].astype(int))):
        assert (data.preprocessing.transform(rows).sum(axis=1) == 2).all()


def test_a_column_may_have_the_name_of_a_derived_feature(tmp_path: Path) -> None:
    texts = {"color": ["x", "z"] * 30, "a": ["b_c", "d"] * 30, "a_b": ["c", "d"] * 30}
    numbers = {"color_x": range(60), "missingindicator_n": range(60), "n": [None, 2.5, 3.5] * 20}
    pd.DataFrame({**texts, **numbers, "y": ["a", "b"] * 30}).to_csv(tmp_path / "a.csv", index=False)
    data = table(tmp_path, one_hot_up_to=10)
    assert data.d_in == len(data.preprocessing.transform(pd.read_csv(tmp_path / "a.csv"))[0]) == 3 + 1 + 6


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_missing_values_can_be_set_and_are_saved(name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [-999, 1, 2] * 20, "c": ["NA", "DE", "unknown"] * 20, "y": ["a", "b", "c"] * 20})
    WRITERS[name](frame, tmp_path / name)
    preprocessing: Any = table(tmp_path, name, missing=[-999, "unknown"], one_hot_up_to=10).preprocessing
    assert preprocessing.features == ["n", "missingindicator_n", "c_", "c_DE", "c_NA"]
    preprocessing.save(tmp_path)
    expected = preprocessing.transform(frame)
    assert (expected[:, 1] == (frame["n"] == -999)).all()
    np.testing.assert_array_equal(load_preprocessing(tmp_path).transform(frame), expected)


def test_nan_in_a_binary_file_is_missing(tmp_path: Path) -> None:
    x = np.where(np.arange(60) % 5 == 0, np.nan, np.arange(60) % 3)
    frame = pa.table({"x": pa.array(x), "code": pa.array(x), "void": pa.array([np.nan] * 60), "y": ["a", "b"] * 30})
    pyarrow.parquet.write_table(frame, tmp_path / "a.parquet")  # pandas would write nulls
    preprocessing: Any = table(tmp_path, "a.parquet", kinds={"code": "category"}).preprocessing
    assert preprocessing.features == ["x", "missingindicator_x", "code_", "code_0", "code_1", "code_2"]


def test_levels_that_training_has_not_seen_are_counted_in_a_warning(tmp_path: Path) -> None:
    mixed(100, missing=0).to_csv(tmp_path / "a.csv", index=False)
    preprocessing = table(tmp_path, drop=[*OTHER_TARGETS, "city", "zip"]).preprocessing
    rows = pd.read_csv(tmp_path / "a.csv")
    preprocessing.transform(rows)
    rows.loc[:2, "plan"] = ["Basic", "none at all", None]
    message = (
        "2 of 99 cells of the column 'plan' are levels that training has not seen, such as 'Basic'; they count as"
        " unknown. Training had levels such as 'basic'."
    )
    with pytest.warns(UnseenLevels, match=re.escape(message)):
        preprocessing.transform(rows)
