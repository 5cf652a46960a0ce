"""A shipped model, read back to predict raw rows."""

import json
import math
import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra.utils
import numpy as np
import numpy.typing as npt
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import Tensor, nn

from lightsweep.config.instantiate import locate_target
from lightsweep.config.targets import ALLOWED_TARGETS, check_user_targets, current_target
from lightsweep.data.preprocessing import PREPROCESSING, Preprocessing
from lightsweep.data.saved_preprocessing import load_preprocessing
from lightsweep.data.target import Target
from lightsweep.data.tensors import EVAL_BATCH_SIZE
from lightsweep.errors import ConfigError
from lightsweep.export.inference import InferenceModel
from lightsweep.model.construction import build_model, stored_attributes

if TYPE_CHECKING:
    import pandas as pd

    Rows = npt.ArrayLike | pd.DataFrame

WEIGHTS = "model.pt"
CONFIG = "config.yaml"
METRICS = "metrics.json"


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A trained model with its preprocessing: takes rows as they were before it, features in their own unit.

    Rows are a DataFrame for a model of tables, with the columns that it was trained on in any order, others ignored;
    for a model of arrays an array with a row of features each. `metrics` is what the test split gave.
    """

    model: nn.Module = field(repr=False)
    preprocessing: Preprocessing = field(repr=False)
    target: Target
    metrics: dict[str, float]

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> "Predictor":
        """Read what `evaluate_and_export` wrote. The weights are loaded as tensors only: code is refused.

        Raises `ConfigError` if a file is missing, damaged or does not fit the others, or LIGHTSWEEP_TRUST is malformed.
        """
        check_user_targets()
        folder = Path(folder)
        for name in (WEIGHTS, CONFIG, PREPROCESSING, METRICS):
            if not (folder / name).is_file():
                raise ConfigError(
                    f"{folder} holds no {name}, so it is not the folder of a shipped model;"
                    " a search writes one as best/, and `python train.py refit=true` writes one too."
                    " Of a data module of your own without `preprocessing`, only weights and config are there."
                )
        try:
            cfg = OmegaConf.load(folder / CONFIG)
            metrics = dict(json.loads((folder / METRICS).read_text(encoding="utf-8")))
            target = Target.from_record(json.loads((folder / PREPROCESSING).read_text(encoding="utf-8"))["target"])
            preprocessing = load_preprocessing(folder)
            model = _built(cfg, preprocessing=preprocessing, target=target)
            model.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))
        except ConfigError:
            raise
        except pickle.UnpicklingError as error:
            raise ConfigError(
                f"{folder / WEIGHTS} holds more than tensors, which could be code, so it is not loaded."
            ) from error
        except Exception as error:
            raise ConfigError(f"{folder} can't be read as a shipped model: {error}") from error
        return cls(model=model.eval(), preprocessing=preprocessing, target=target, metrics=metrics)

    @property
    def classes(self) -> tuple[int | str, ...]:
        """The name of each column of `predict_proba`; empty for a regression."""
        return self.target.classes

    @property
    def missing(self) -> tuple[str, ...] | None:
        """The cells of a text file that are missing, None for the usual ones."""
        missing: tuple[str, ...] | None = getattr(getattr(self.preprocessing, "columns", None), "missing", None)
        return missing

    @property
    def decimal(self) -> str:
        """With which a text file writes its numbers."""
        return str(getattr(getattr(self.preprocessing, "columns", None), "decimal", "."))

    @property
    def takes_frames(self) -> bool:
        return hasattr(self.preprocessing, "columns")

    @property
    def takes_arrays(self) -> bool:
        """Whether columns have no other names than their numbers."""
        columns = getattr(self.preprocessing, "columns", None)
        return columns is None or all(column.name.isdigit() for column in columns.all)

    def predict(self, rows: "Rows") -> npt.NDArray[Any]:
        """The name of the most probable class of each of the `n` rows; for a regression the value, in its own unit.

        Values have the shape `(n,)`, or `(n, n_targets)` if there are several targets.
        Raises `ConfigError`, a `ValueError`, if the rows lack a column or hold what the model can't take.
        """
        outputs = self.outputs(rows)
        if self.classes:
            return self.named(outputs)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def predict_proba(self, rows: "Rows") -> npt.NDArray[np.float32]:
        """Probabilities of shape `(n, len(classes))`. Raises `ConfigError` as `predict` does, and for a regression."""
        if not self.classes:
            raise ConfigError("this model is a regression, which has no probabilities; use predict.")
        return self.outputs(rows)

    @torch.inference_mode()
    def outputs(self, rows: "Rows", **place: Any) -> npt.NDArray[np.float32]:
        """Probabilities `(n, n_classes)`, or values `(n, n_targets)`.

        `where`, for a table, tells the place of a row in words, for what is said of a wrong cell.
        """
        matrix = torch.from_numpy(self.preprocessing.transform(self._fitting(rows, **place), **place))
        return in_batches(InferenceModel(self.model, self.target), matrix).numpy()

    def _fitting(self, rows: "Rows", **place: Any) -> Any:
        """The rows as the preprocessing takes them: a frame counted from 0 if it knows names, else an array."""
        is_frame = hasattr(rows, "columns")
        if not self.takes_frames or (is_frame and place):
            return rows
        if is_frame:
            frame = rows.reset_index(drop=True)  # type: ignore[union-attr]
            return frame.rename(columns=str) if self.takes_arrays else frame
        if not self.takes_arrays:
            raise ConfigError(f"rows are of type {type(rows).__name__}; this model takes a pandas DataFrame.")
        import pandas as pd

        array = np.asarray(rows)
        if array.ndim < 2:
            raise ConfigError(f"the rows have the shape {array.shape}; this model takes (n, number of features).")
        flat = array.reshape(len(array), math.prod(array.shape[1:]))
        d_raw = 1 + max(int(column.name) for column in self.preprocessing.columns.all)  # type: ignore[attr-defined]
        if flat.shape[1] != d_raw:
            raise ConfigError(f"the rows have the shape {array.shape}; this model takes (n, {d_raw}).")
        return pd.DataFrame(flat, columns=[str(i) for i in range(flat.shape[1])])

    def named(self, probabilities: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """The name of the most probable class of each row."""
        named: npt.NDArray[Any] = np.asarray(self.classes)[probabilities.argmax(axis=1)]
        return named


def in_batches(outputs: InferenceModel, x: Tensor) -> Tensor:
    """What a model gives for all rows of `x`, computed on a part of them at a time."""
    return torch.cat([outputs(part) for part in torch.split(x, EVAL_BATCH_SIZE)])


def _built(cfg: Any, *, preprocessing: Preprocessing, target: Target) -> nn.Module:
    data = stored_attributes(
        d_in=preprocessing.d_in,
        n_numbers=preprocessing.n_numbers,
        cardinalities=preprocessing.cardinalities,
        target=target,
    )
    with hydra.utils.execution_whitelist(ALLOWED_TARGETS):
        _check_names_a_model(cfg)
        model: nn.Module = build_model(cfg.model, data=data, optimizer=None)
    return model


def _check_names_a_model(cfg: Any) -> None:
    """Refuse what a search does not write: a folder may come from anywhere, and its config chooses what is called."""
    if not isinstance(cfg, DictConfig) or not isinstance(cfg.get("model"), DictConfig):
        raise ConfigError(f"{CONFIG} holds no model.")
    if not isinstance(cfg.model.get("_target_"), str):
        raise ConfigError(f"{CONFIG}: model names no _target_.")
    nested = [key for key, value in cfg.model.items() if _is_nested(value)]
    if nested:
        raise ConfigError(f"{CONFIG}: model.{nested[0]} is more than a value, which is not taken from a file.")
    cfg.model._target_ = current_target(cfg.model._target_)
    try:
        target = locate_target(cfg.model, "model")  # which imports nothing that is not trusted
    except ConfigError as error:
        raise ConfigError(f"{CONFIG}: {error}") from error
    if not (isinstance(target, type) and issubclass(target, torch.nn.Module)):
        raise ConfigError(f"{CONFIG}: model._target_ is '{cfg.model._target_}', which is not the class of a model.")


def _is_nested(value: Any) -> bool:
    """Whether it could name something to call; a list of plain values, such as the widths of layers, can't."""
    if isinstance(value, ListConfig):
        return any(isinstance(item, DictConfig | ListConfig) for item in value)
    return isinstance(value, DictConfig)
