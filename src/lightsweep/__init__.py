"""Hyperparameter search for PyTorch Lightning models, driven by Hydra and Optuna."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from lightsweep.export.predictor import Predictor

__all__ = ["load"]


def load(folder: str | os.PathLike[str]) -> Predictor:
    """Load the model that a search or `refit=true` exported, to predict raw rows.

    `load("outputs/mlp/2026-11-24_12-00-00/best").predict(rows)` takes a DataFrame, or an array of shape `(n, d_in)` if
    the model was trained on an array. Raises `ConfigError` if the folder holds no such model.
    """
    from lightsweep.export.predictor import Predictor

    return Predictor.from_folder(folder)
