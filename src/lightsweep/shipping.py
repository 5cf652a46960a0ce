"""The model that a search is for: written after a refit, read back to predict on raw features."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra.utils
import numpy as np
import numpy.typing as npt
import pytorch_lightning as L
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from lightsweep.build import build
from lightsweep.data.splits import Scaler
from lightsweep.data.tensors import EVAL_BATCH_SIZE
from lightsweep.errors import ConfigError
from lightsweep.files import write_atomically
from lightsweep.fitting import keep_and_announce
from lightsweep.outcome import Outcome
from lightsweep.trust import TRUSTED_TARGETS

WEIGHTS = "model.pt"
CONFIG = "config.yaml"
PREPROCESSING = "preprocessing.json"
METRICS = "metrics.json"


def ship(cfg: DictConfig, *, trainer: L.Trainer, model: L.LightningModule, data: Any) -> Outcome:
    """Evaluate the refitted model on the test split, once, and write all that predicting with it needs.

    `data` has `d_in`, `d_out`, `classes` (a name per label) and `scaler`.
    """
    n_epochs = trainer.current_epoch
    metrics = dict(trainer.test(model, datamodule=data, verbose=False)[0])
    folder = Path(HydraConfig.get().runtime.output_dir)
    temporary = folder / f".{WEIGHTS}.tmp"
    torch.save({name: tensor.cpu() for name, tensor in model.state_dict().items()}, temporary)
    temporary.replace(folder / WEIGHTS)
    write_atomically(folder / CONFIG, OmegaConf.to_yaml(cfg, resolve=True))
    if hasattr(data, "scaler"):  # a data module of the user's own keeps its preprocessing to itself
        preprocessing = {
            "mean": data.scaler.mean.tolist(),
            "std": data.scaler.std.tolist(),
            "classes": list(data.classes),
        }
        write_atomically(folder / PREPROCESSING, json.dumps(preprocessing))
    write_atomically(folder / METRICS, json.dumps(metrics, indent=2))
    outcome = Outcome(
        monitor=cfg.monitor, value=None, best_epoch=None, n_epochs=n_epochs, max_epochs=n_epochs, test_metrics=metrics
    )
    keep_and_announce(outcome)
    return outcome


def _check_names_a_model(cfg: Any) -> None:
    """Refuse what a search does not write: a folder may come from anywhere, and its config chooses what is called."""
    if not isinstance(cfg, DictConfig) or not isinstance(cfg.get("model"), DictConfig):
        raise ConfigError(f"{CONFIG} holds no model.")
    nested = [key for key, value in cfg.model.items() if isinstance(value, DictConfig | ListConfig)]
    if nested:
        raise ConfigError(f"{CONFIG}: model.{nested[0]} is more than a value, which is not taken from a file.")
    target = hydra.utils.get_object(cfg.model._target_)
    if not (isinstance(target, type) and issubclass(target, torch.nn.Module)):
        raise ConfigError(f"{CONFIG}: model._target_ is '{cfg.model._target_}', which is not the class of a model.")


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A trained classifier with its preprocessing: takes features in their own unit.

    `classes` holds the name of each column of `predict_proba`; `metrics` what the test split gave.
    """

    model: L.LightningModule = field(repr=False)
    scaler: Scaler = field(repr=False)
    classes: tuple[int | str, ...]
    metrics: dict[str, float]

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> "Predictor":
        """Read what `ship` wrote. The weights are loaded as tensors only: a file that holds code is refused.

        Raises `ConfigError` if a file is missing, damaged or does not fit the others.
        """
        folder = Path(folder)
        for name in (WEIGHTS, CONFIG, PREPROCESSING, METRICS):
            if not (folder / name).is_file():
                raise ConfigError(
                    f"{folder} holds no {name}, so it is not the folder of a shipped model;"
                    " a search writes one as best/, and `python train.py refit=true` writes one too."
                )
        try:
            cfg = OmegaConf.load(folder / CONFIG)
            preprocessing = json.loads((folder / PREPROCESSING).read_text(encoding="utf-8"))
            metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
            scaler = Scaler(
                mean=np.asarray(preprocessing["mean"], dtype=np.float32),
                std=np.asarray(preprocessing["std"], dtype=np.float32),
            )
            classes = tuple(preprocessing["classes"])
            with hydra.utils.execution_whitelist(TRUSTED_TARGETS):
                _check_names_a_model(cfg)
                model: L.LightningModule = build(cfg.model, d_in=len(scaler.mean), d_out=len(classes), optimizer=None)
            model.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"{folder} can't be read as a shipped model: {error}") from error
        return cls(model=model.eval(), scaler=scaler, classes=classes, metrics=metrics)

    @torch.inference_mode()
    def predict_proba(self, x: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Probabilities of shape `(n, len(classes))` for raw features of shape `(n, d_in)`.

        Raises `ValueError` if the features have another shape or are not finite numbers.
        """
        features = self._checked(x)
        parts = [
            torch.softmax(self.model(torch.from_numpy(self.scaler.transform(part))), dim=1).numpy()
            for part in np.split(features, range(EVAL_BATCH_SIZE, len(features), EVAL_BATCH_SIZE))
        ]
        return np.concatenate(parts)

    def predict(self, x: npt.ArrayLike) -> npt.NDArray[Any]:
        """The name of the most probable class for each of the `n` rows."""
        labels: list[int] = self.predict_proba(x).argmax(axis=1).tolist()
        return np.asarray([self.classes[label] for label in labels])

    def _checked(self, x: npt.ArrayLike) -> npt.NDArray[np.float32]:
        features = np.asarray(x, dtype=np.float32)
        d_in = len(self.scaler.mean)
        if features.ndim != 2 or features.shape[1] != d_in:
            raise ValueError(f"x has the shape {features.shape}; this model takes (n, {d_in}).")
        if not np.isfinite(features).all():
            row, column = np.argwhere(~np.isfinite(features))[0]
            raise ValueError(f"x[{row}, {column}] is {features[row, column]}; this model takes finite numbers.")
        return features
