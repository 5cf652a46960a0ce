"""A file of transformers holds what is written, and nothing else is taken from one."""

import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skops.io as skops_io
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from lightsweep.data.table.transformer_file import LISTS, dump, load

IN_TURN = """\
import importlib, sys
importlib.import_module(sys.argv[1])
import skops.io
from sklearn.linear_model import LogisticRegression
from lightsweep.data.table.transformer_file import load
skops.io.dump(LogisticRegression(), sys.argv[2])
print(skops.io.load(sys.argv[2]))
try:
    load(sys.argv[2])
except Exception as error:
    print("refused" if type(error).__name__ == "UntrustedTypesFoundException" else error)
"""


def test_what_is_trusted_skops_trusts_too() -> None:
    own = importlib.import_module("skops.io._trusted_types")
    assert all({*names} <= {*getattr(own, name)} for name, names in LISTS.items())
    for name in ("PRIMITIVE_TYPE_NAMES", "CONTAINER_TYPE_NAMES", "NUMPY_DTYPE_TYPE_NAMES"):
        assert {*LISTS[name]} == {*getattr(own, name)}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    x = np.arange(12.0).reshape(4, 3)
    transformer = ColumnTransformer([("scaled", StandardScaler(), [0, 2])], remainder="drop").fit(x)
    dump(transformer, tmp_path / "file")
    assert np.array_equal(load(tmp_path / "file").transform(x), transformer.transform(x))


@pytest.mark.parametrize("kind", [LogisticRegression, Path])
def test_another_type_is_refused(kind: type, tmp_path: Path) -> None:
    skops_io.dump(kind(), tmp_path / "file")
    with pytest.raises(Exception, match="Untrusted types found in the file"):
        load(tmp_path / "file")


@pytest.mark.parametrize("first", ["skops.io", "lightsweep.data.table.transformer_file"])
def test_others_have_the_whole_list_whoever_comes_first(first: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", IN_TURN, first, str(tmp_path / "file")], capture_output=True, text=True, check=False
    )
    assert ran.stdout == "LogisticRegression()\nrefused\n", ran.stderr


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(pickle.dumps(StandardScaler()))
    with pytest.raises(Exception, match="zip"):
        load(tmp_path / "file")
