"""A file of transformers holds what is written, and nothing else is taken from one."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io as skops_io
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from lightsweep.data.table.transformer_file import dump, load


def test_what_was_written_is_read(tmp_path: Path) -> None:
    x = np.arange(12.0).reshape(4, 3)
    transformer = ColumnTransformer([("scaled", StandardScaler(), [0, 2])], remainder="drop").fit(x)
    dump(transformer, tmp_path / "file")
    assert np.array_equal(load(tmp_path / "file").transform(x), transformer.transform(x))


def test_a_type_that_is_no_estimator_is_refused(tmp_path: Path) -> None:
    skops_io.dump(Path(), tmp_path / "file")
    with pytest.raises(Exception, match="Untrusted types found in the file"):
        load(tmp_path / "file")


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        Pipeline([("scale", StandardScaler()), ("other", MinMaxScaler())]),
        ColumnTransformer([("in", Pipeline([("other", MinMaxScaler())]), [0])]),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_another_estimator_is_refused_wherever_it_is(estimator: Any, tmp_path: Path) -> None:
    skops_io.dump(estimator.fit(np.arange(12.0).reshape(4, 3), [0, 1, 0, 1]), tmp_path / "file")
    with pytest.raises(TypeError, match=r"file holds a (LogisticRegression|MinMaxScaler)"):
        load(tmp_path / "file")


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(pickle.dumps(StandardScaler()))
    with pytest.raises(Exception, match="zip"):
        load(tmp_path / "file")
