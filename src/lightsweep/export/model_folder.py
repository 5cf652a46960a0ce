"""The folder of a refitted model: evaluate it on the test split, and write all that predicting needs."""

import csv
import json
import logging
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as L
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from lightsweep.data.preprocessing import PREPROCESSING, Preprocessing
from lightsweep.data.tensors import TensorDataModule
from lightsweep.export.bootstrap import test_intervals
from lightsweep.export.inference import InferenceModel, predict_in_batches
from lightsweep.export.model_card import ModelCard, write_card
from lightsweep.export.predictor import CONFIG, METRICS, WEIGHTS
from lightsweep.failures import full_disk, in_one_line
from lightsweep.files import replacing, write_atomically
from lightsweep.report.results import read_results
from lightsweep.trial.context import folder_of_search
from lightsweep.trial.outcome import ALL_ROWS

CSV_LOG = "csv/metrics.csv"
VALIDATION = "validation, by the best trial before the refit"
VALIDATION_OF_CHECKPOINT = "validation"
TRAINING = "training + validation"
TRAINING_OF_CHECKPOINT = "training"
OUT_OF_RANGE = "Values far outside the range of training are accepted; predictions for them are unreliable."
LIMITS_OF_TABLES = (
    "Categories that do not occur in the training rows are encoded as unknown.",
    "A missing number is replaced by the median of training, a missing boolean by the more frequent one. A column with"
    " missing values in training has an indicator of them, from which the model may have learned.",
    "A missing column, or a value that does not fit its column's kind, is refused; other columns are ignored.",
    OUT_OF_RANGE,
)
OF_WEIGHTS = (
    "The classes had weights in training, so the probabilities are not those of the data: those of rare classes are too"
    " high. `predict_proba(rows, calibrated=True)` corrects that."
)
LIMITS_OF_ARRAYS = ("Features must be finite numbers, in the order of training.", OUT_OF_RANGE)

log = logging.getLogger(__name__)


class Evaluation(NamedTuple):
    """The metrics on the test rows, and the 95 % intervals of some of them, each by its name in the logs."""

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]


def evaluate_and_export(
    cfg: DictConfig,
    *,
    trainer: L.Trainer,
    model: L.LightningModule,
    data: Any,
    trained_on: str = ALL_ROWS,
    n_rows: int | None = None,
    refit_failed: str | None = None,
) -> Evaluation:
    """Test the refitted model, write its folder, and return the test metrics with their intervals.

    Weights, config, metrics and a model card are always written; preprocessing and exports need a data module with
    `preprocessing`. An error of a test costs its metrics alone. The metrics are written last: a folder with metrics is
    complete. `trained_on`, `n_rows` and `refit_failed` are what the card says of the training.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    has_preprocessing = hasattr(data, "preprocessing")
    _write_model(folder, cfg, model=model)
    metrics = _test(trainer, model, folder=folder, datamodule=data)
    on_training = _metrics_on_training(trainer, model, data, folder=folder) if has_preprocessing and metrics else {}
    model.cpu().eval()
    card = _card(
        cfg,
        model=model,
        metrics={"test": metrics} if metrics else {},
        on_training=on_training,
        refit_failed=refit_failed,
    )
    card = replace(card, trained_on=trained_on if n_rows is None else f"{trained_on}, {n_rows:,} rows")
    if has_preprocessing:
        data.preprocessing.save(folder, target=data.target.to_record())
        exports = _export(folder, cfg.export, model=model, data=data)
        card = replace(card, exports=exports, **_card_of_data(model, data))
        if metrics and card.predicted is not None and card.actual is not None:
            intervals = test_intervals(card.predicted, card.actual, task=data.target.task)
            card = replace(card, intervals=intervals)
    elif cfg.export:
        print(f"warning: export={cfg.export}: {type(data).__name__} has no `preprocessing`: no export", file=sys.stderr)
    write_card(folder, card)
    write_atomically(folder / METRICS, json.dumps(metrics, indent=2))
    return Evaluation(metrics, dict(card.intervals))


def _test(trainer: L.Trainer, model: L.LightningModule, *, folder: Path, **source: Any) -> dict[str, float]:
    """Return the metrics of `trainer.test`, of all loaders; empty, with a warning, if it raises."""
    try:
        results = trainer.test(model, verbose=False, **source)
    except Exception as error:
        if full_disk(error, folder):
            raise
        _warn("the model was not tested", error)
        return {}
    return {name: value for result in results for name, value in result.items()}


def _warn(message: str, error: Exception) -> None:
    log.info("".join(traceback.format_exception(error)))
    print(f"warning: {message}: {in_one_line(error)}", file=sys.stderr)


def _metrics_on_training(
    trainer: L.Trainer, model: L.LightningModule, data: TensorDataModule, *, folder: Path
) -> dict[str, dict[str, float]]:
    """Evaluate the training rows with the test step, without logging the result as test metrics."""
    loggers, trainer.loggers = trainer.loggers, []
    try:
        metrics = _test(trainer, model, folder=folder, dataloaders=data.evaluation_batches("train"))
        return {_training_rows(data): metrics} if metrics else {}
    finally:
        trainer.loggers = loggers


def _training_rows(data: TensorDataModule) -> str:
    return TRAINING if data.splits.val is None else TRAINING_OF_CHECKPOINT


def _write_model(folder: Path, cfg: DictConfig, *, model: L.LightningModule) -> None:
    with replacing(folder / WEIGHTS) as temporary:
        torch.save({name: value.cpu() for name, value in model.state_dict().items()}, temporary)
    write_atomically(folder / CONFIG, OmegaConf.to_yaml(cfg, resolve=True))


def _card(
    cfg: DictConfig,
    *,
    model: L.LightningModule,
    metrics: Mapping[str, Any],
    on_training: Mapping[str, Any],
    refit_failed: str | None,
) -> ModelCard:
    """Return the part of the card that needs no knowledge of the data."""
    search_folder = folder_of_search()
    search = read_results(search_folder) if search_folder else {}
    on_validation = validation_metrics(search)
    validation = VALIDATION_OF_CHECKPOINT if refit_failed else VALIDATION
    schedule = getattr(model, "schedule_in_use", None) if cfg.model.get("schedule") is None else None
    return ModelCard(
        config=cfg,
        metrics={**on_training, **({validation: on_validation} if on_validation else {}), **metrics},
        search=search,
        refit_failed=refit_failed,
        defaults={"model.schedule": schedule} if schedule else {},
    )


def validation_metrics(search: Mapping[str, Any]) -> dict[str, float]:
    """Read the best epoch of the best trial from its CSV log, if it has one, with `test/` in place of `val/`."""
    try:
        with (Path(str(search.get("best_folder"))) / CSV_LOG).open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["epoch"] == str(search["best_epoch"])]
        return {f"test/{k[4:]}": float(v) for row in rows for k, v in row.items() if k.startswith("val/") and v}
    except (OSError, KeyError, ValueError):
        return {}


def _export(folder: Path, formats: Sequence[str], *, model: L.LightningModule, data: TensorDataModule) -> list[str]:
    """Write the exports, warn of each that failed, and return a line on each."""
    if not formats:
        return []
    from lightsweep.export.formats import export_model

    scaler = getattr(data.preprocessing, "scaler", None)
    x = data.splits.test[0].cpu()
    if scaler is not None:  # the exported file scales the features itself
        x = scaler.inverse(x)
    inference_model = InferenceModel(model, data.target, scaler=scaler)
    exports = export_model(folder, formats=formats, model=inference_model, x=x, metadata=_export_metadata(data))
    for export in exports:
        if not export.is_kept:
            print(f"warning: export=[{export.name}]: {export.message}", file=sys.stderr)
    return [export.message for export in exports]


def _export_metadata(data: TensorDataModule) -> dict[str, Any]:
    """Return what a program needs to know that runs an exported file."""
    scales_features = hasattr(data.preprocessing, "scaler")
    is_regression = data.target.task.is_regression
    preprocessed = f"what {PREPROCESSING} makes of raw rows, as load(folder).preprocessing"
    return {
        "input": "raw features" if scales_features else preprocessed,
        "columns": list(getattr(data.preprocessing, "features", [])),
        "output": "values in the unit of the targets" if is_regression else "probabilities",
        "outputs": list(data.target.names if is_regression else data.target.classes),
    }


def _card_of_data(model: L.LightningModule, data: TensorDataModule) -> dict[str, Any]:
    x, actual = (part.cpu() for part in data.splits.test)
    if data.target.scaler is not None:
        actual = data.target.scaler.inverse(actual)
    predicted = _predict(model, data, x)
    columns = _columns_by_kind(data.preprocessing)
    return {
        "target": data.target,
        "rows": {
            _training_rows(data): len(data.splits.train[0]),
            **({VALIDATION_OF_CHECKPOINT: len(data.splits.val[0])} if data.splits.val is not None else {}),
            "test": len(x),
        },
        "columns": columns,
        "predicted": predicted,
        "actual": actual,
        "limits": [
            *(LIMITS_OF_TABLES if columns else LIMITS_OF_ARRAYS),
            *([OF_WEIGHTS] if data.target.weights else []),
        ],
    }


def _predict(model: L.LightningModule, data: TensorDataModule, x: Tensor) -> Tensor | None:
    """Return what the model predicts for the rows; None if it can't, or in another shape than the target's."""
    try:
        predicted = predict_in_batches(InferenceModel(model, data.target), x)
    except Exception as error:  # noqa: BLE001  (a module of the user may need more than its `forward`)
        _warn("the model card has no picture of the errors, and `load` will not predict", error)
        return None
    return predicted if predicted.shape == (len(x), data.target.d_out) else None


def _columns_by_kind(preprocessing: Preprocessing) -> dict[str, list[str]]:
    columns = getattr(preprocessing, "columns", None)
    by_kind: dict[str, list[str]] = {}
    for column in columns.all if columns is not None else ():
        by_kind.setdefault(str(column.kind), []).append(column.name)
    return by_kind
