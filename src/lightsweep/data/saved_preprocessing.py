"""Loading of a saved preprocessing of either kind."""

import json
from pathlib import Path

import numpy as np

from lightsweep.data.preprocessing import PREPROCESSING, ArrayPreprocessing, Preprocessing
from lightsweep.data.splits import Scaler
from lightsweep.errors import ConfigError


def load_preprocessing(folder: Path) -> Preprocessing:
    """Read the files of `Preprocessing.save` without executing anything in them.

    Raises `ConfigError` if a file is missing or has unexpected content.
    """
    try:
        record = json.loads((folder / PREPROCESSING).read_text(encoding="utf-8"))
        if record.get("kind", "scaler") == "table":
            from lightsweep.data.table.preprocessing import TablePreprocessing  # takes half a second

            return TablePreprocessing.load(folder, record)
        return ArrayPreprocessing(Scaler(**{key: np.asarray(record[key], dtype=np.float32) for key in ("mean", "std")}))
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{folder / PREPROCESSING} can't be read as a preprocessing: {error}") from error
