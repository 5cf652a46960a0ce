"""An exported model, loaded from its folder to predict raw rows."""

import json
import math
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra.utils
import numpy as np
import numpy.typing as npt
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import nn

from lightsweep.config.instantiate import locate_target
from lightsweep.config.targets import ALLOWED_TARGETS, check_user_targets, current_target
from lightsweep.data.preprocessing import PREPROCESSING, Preprocessing
from lightsweep.data.saved_preprocessing import load_preprocessing
from lightsweep.data.target import Target
from lightsweep.errors import ConfigError
from lightsweep.export.inference import InferenceModel, predict_in_batches
from lightsweep.model.construction import build_model, stored_attributes

if TYPE_CHECKING:
    import pandas as pd

    from lightsweep.data.table.columns import Columns

    Rows = npt.ArrayLike | pd.DataFrame

WEIGHTS = "model.pt"
CONFIG = "config.yaml"
METRICS = "metrics.json"


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A trained model with its preprocessing, which takes raw rows: features in their own unit.

    A model that was trained on a table takes a DataFrame with the same columns in any order; it ignores others.
    A model that was trained on an array takes an array of shape `(n, d_in)`. `metrics` are those of the test split.
    """

    model: nn.Module = field(repr=False)
    preprocessing: Preprocessing = field(repr=False)
    target: Target
    metrics: dict[str, float]

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> "Predictor":
        """Load what `evaluate_and_export` wrote, without running code from the folder.

        Raises `ConfigError` if a file is missing, damaged or does not fit the others, or LIGHTSWEEP_TRUST is malformed.
        """
        check_user_targets()
        folder = Path(folder)
        for name in (WEIGHTS, CONFIG, PREPROCESSING, METRICS):
            if not (folder / name).is_file():
                raise ConfigError(
                    f"{folder} holds no {name}, so it is not the folder of an exported model. A search writes one as"
                    " best/, and `python train.py refit=true` writes one, too; with a custom data module that has no"
                    " `preprocessing` they hold weights and config only."
                )
        try:
            return cls._read(folder)
        except ConfigError:
            raise
        except pickle.UnpicklingError as error:
            raise ConfigError(
                f"{folder / WEIGHTS} holds more than tensors, which could be code, so it is not loaded."
            ) from error
        except Exception as error:
            raise ConfigError(f"{folder} can't be read as an exported model: {error}") from error

    @classmethod
    def _read(cls, folder: Path) -> "Predictor":
        cfg = OmegaConf.load(folder / CONFIG)
        metrics = dict(json.loads((folder / METRICS).read_text(encoding="utf-8")))
        target = Target.from_record(json.loads((folder / PREPROCESSING).read_text(encoding="utf-8"))["target"])
        preprocessing = load_preprocessing(folder)
        model = _build(cfg, preprocessing=preprocessing, target=target)
        model.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))
        return cls(model=model.eval(), preprocessing=preprocessing, target=target, metrics=metrics)

    @property
    def classes(self) -> tuple[bool | int | str, ...]:
        """The name of each column of `predict_proba`; empty for a regression."""
        return self.target.classes

    def predict(self, rows: "Rows") -> npt.NDArray[Any]:
        """Return the name of the most probable class of each of the `n` rows, or for a regression the value.

        Values have the unit of the targets and the shape `(n,)`, or `(n, n_targets)` if there are several targets.
        Raises `ConfigError`, a `ValueError`, if a column is missing or a value does not fit its column.
        """
        outputs = self.outputs(rows)
        if self.classes:
            return self.most_probable(outputs)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def predict_proba(self, rows: "Rows", *, calibrated: bool = False) -> npt.NDArray[np.float32]:
        """Return probabilities of shape `(n, len(classes))`.

        A model with class weights gives those of classes that are as frequent as the weights make them; `calibrated`
        gives those of the training rows: each is divided by the weight of its class, and the sum is 1 again (Elkan,
        "The foundations of cost-sensitive learning", IJCAI 2001, theorem 2).

        Raises `ConfigError` as `predict`, or for a regression.
        """
        if not self.classes:
            raise ConfigError("this model is a regression, which has no probabilities; use predict.")
        outputs = self.outputs(rows)
        if not calibrated or not self.target.weights:
            return outputs
        shares: npt.NDArray[np.float32] = np.divide(outputs, self.target.weights, dtype=np.float32)
        shares /= shares.sum(axis=1, keepdims=True)
        return shares

    def outputs(self, rows: "Rows", *, where: Callable[[int], str] | None = None) -> npt.NDArray[np.float32]:
        """Return probabilities `(n, n_classes)`, or values `(n, n_targets)`.

        Raises `ConfigError` if an output is not finite.

        `where` returns the location of a row in a file, for error messages, given its entry in the frame's index.
        """
        location = {} if where is None else {"where": where}
        fitting = self._fitting(rows, keep_index=where is not None)
        matrix = torch.from_numpy(self.preprocessing.transform(fitting, **location))
        outputs = predict_in_batches(InferenceModel(self.model, self.target), matrix).numpy()
        if not np.isfinite(outputs).all():
            raise ConfigError(
                f"{WEIGHTS}: the model gives values that are not finite for {int((~np.isfinite(outputs)).any(1).sum())}"
                f" of {len(outputs)} rows, so its weights are damaged or the rows are far outside of the training data."
                " Train the model again, or check the rows."
            )
        return outputs

    def most_probable(self, probabilities: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Return the name of the most probable class of each row."""
        names: npt.NDArray[Any] = np.asarray(self.classes)[probabilities.argmax(axis=1)]
        return names

    @property
    def columns(self) -> "Columns | None":
        """The columns of the training table, None if the preprocessing takes arrays only."""
        columns: Columns | None = getattr(self.preprocessing, "columns", None)
        return columns

    @property
    def takes_arrays(self) -> bool:
        """True if the model was trained on an array, whose columns are named by their position."""
        return self.columns is None or all(column.name.isdigit() for column in self.columns.all)

    def _fitting(self, rows: "Rows", *, keep_index: bool) -> Any:
        """Return the rows as the preprocessing takes them: a frame if it knows column names, else an array."""
        if callable(to_pandas := getattr(rows, "to_pandas", None)):  # a table of Arrow or Polars
            rows = to_pandas()
        is_frame = hasattr(rows, "columns")
        if self.columns is None or (is_frame and keep_index):
            return rows
        if is_frame:
            frame = rows.reset_index(drop=True)  # type: ignore[union-attr]
            return frame.rename(columns=str) if self.takes_arrays else frame
        if not self.takes_arrays or isinstance(rows, dict):
            raise ConfigError(f"rows are of type {type(rows).__name__}; this model takes a pandas DataFrame.")
        return _as_frame(np.asarray(rows), columns=self.columns)


def _as_frame(array: npt.NDArray[Any], *, columns: "Columns") -> "pd.DataFrame":
    import pandas as pd

    if array.ndim < 2:
        raise ConfigError(f"the rows have the shape {array.shape}; this model takes (n, number of features).")
    flat = array.reshape(len(array), math.prod(array.shape[1:]))
    d_raw = 1 + max(int(column.name) for column in columns.all)
    if flat.shape[1] != d_raw:
        raise ConfigError(f"the rows have the shape {array.shape}; this model takes (n, {d_raw}).")
    return pd.DataFrame(flat, columns=[str(i) for i in range(d_raw)])


def _build(cfg: Any, *, preprocessing: Preprocessing, target: Target) -> nn.Module:
    data = stored_attributes(
        d_in=preprocessing.d_in,
        n_numbers=preprocessing.n_numbers,
        cardinalities=preprocessing.cardinalities,
        target=target,
    )
    with hydra.utils.execution_whitelist(ALLOWED_TARGETS):
        _check_config(cfg)
        model: nn.Module = build_model(cfg.model, data=data, optimizer=None)
    return model


def _check_config(cfg: Any) -> None:
    """Raise `ConfigError` unless `model` is a plain call of an allowed model class: the folder may be from anywhere."""
    if not isinstance(cfg, DictConfig) or not isinstance(cfg.get("model"), DictConfig):
        raise ConfigError(f"{CONFIG} holds no model.")
    if not isinstance(cfg.model.get("_target_"), str):
        raise ConfigError(f"{CONFIG}: model has no _target_.")
    nested = [key for key, value in cfg.model.items() if _is_nested(value)]
    if nested:
        raise ConfigError(f"{CONFIG}: model.{nested[0]} is nested; a model is loaded with plain values and lists only.")
    cfg.model._target_ = current_target(cfg.model._target_)
    try:
        target = locate_target(cfg.model, "model")  # imports allowed modules only
    except ConfigError as error:
        raise ConfigError(f"{CONFIG}: {error}") from error
    if not (isinstance(target, type) and issubclass(target, nn.Module)):
        raise ConfigError(f"{CONFIG}: model._target_ is '{cfg.model._target_}', which is not a model class.")


def _is_nested(value: Any) -> bool:
    """Return True for a value that could hold a `_target_`; a list of plain values can't."""
    if isinstance(value, ListConfig):
        return any(isinstance(item, DictConfig | ListConfig) for item in value)
    return isinstance(value, DictConfig)
