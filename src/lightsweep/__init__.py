"""Hyperparameter search for PyTorch Lightning models, driven by Hydra and Optuna."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from lightsweep.export.predictor import Predictor
    from lightsweep.opened.search import Search

__all__ = ["load", "open_search"]


def load(folder: str | os.PathLike[str]) -> Predictor:
    """Load the model that a search or `refit=true` exported, to predict raw rows.

    `load("outputs/mlp/2026-11-24_12-00-00/best").predict(rows)` takes a DataFrame, or an array of shape `(n, d_in)` if
    the model was trained on an array. Raises `ConfigError` if the folder holds no such model.
    """
    from lightsweep.export.predictor import Predictor

    return Predictor.from_folder(folder)


def open_search(folder_or_url: str | os.PathLike[str], study: str | None = None) -> Search:
    """Open a search to look at it in a notebook: its trials, the best one, the figures, and the exported model.

    Takes its folder, which may have been moved, its journal, or the URL of a storage, also with a study that another
    tool made. `study` is needed if the storage holds several. Only reads. Raises `ConfigError` if there is no such
    search, it can't be read, or its study has several objectives.
    """
    from lightsweep.opened.search import Search

    return Search.open(folder_or_url, study)
