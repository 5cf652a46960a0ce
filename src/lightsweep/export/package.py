"""The model that a search is for: evaluated and written after a refit."""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from lightsweep.data.preprocessing import PREPROCESSING, Preprocessing
from lightsweep.data.tensors import TensorDataModule
from lightsweep.export.inference import InferenceModel
from lightsweep.export.model_card import Facts, write_card
from lightsweep.export.predictor import CONFIG, METRICS, WEIGHTS, in_batches
from lightsweep.files import replacing, write_atomically
from lightsweep.report.results import read_results
from lightsweep.trial.context import folder_of_search

CSV_LOG = "csv/metrics.csv"
VALIDATION = "validation, by the best trial before the refit"
TRAINING = "training + validation"
FAR_OUTSIDE = "Values far outside the range of training are not refused, and what is said of them is a guess."
LIMITS_OF_TABLES = (
    "A level of a category that was not among the rows of training is taken for none of those that were.",
    "A missing number is taken for the median of training, a missing truth for the more frequent one; a column in"
    " which cells were missing in training has an indicator, so that the model may have learned from it.",
    "A missing column, or a cell that is not of its column's kind, is refused; other columns are ignored.",
    FAR_OUTSIDE,
)
LIMITS_OF_ARRAYS = ("Features must be finite numbers, in the order of training.", FAR_OUTSIDE)


def evaluate_and_export(
    cfg: DictConfig, *, trainer: L.Trainer, model: L.LightningModule, data: Any
) -> dict[str, float]:
    """Evaluate the refitted model on the test split, once, write all that predicting needs, and return the metrics.

    The metrics are written last: a folder that has them is complete.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    metrics = dict(trainer.test(model, datamodule=data, verbose=False)[0])
    is_own = not hasattr(data, "preprocessing")  # a data module of the user's keeps its preprocessing to itself
    on_training = {} if is_own else _metrics_on_training(trainer, model, data)
    model.cpu().eval()
    _write_model(folder, cfg, model=model)
    search = _search()
    known = {**on_training, **metrics_in_validation(search), "test": metrics}
    facts = Facts(config=cfg, metrics=known, search=search, found=_found(cfg, model))
    if not is_own:
        data.preprocessing.save(folder, target=data.target.to_record())
        facts = replace(facts, **_of_data(model, data), exports=_export(folder, cfg.export, model=model, data=data))
    elif cfg.export:
        print(f"warning: export={cfg.export}: {type(data).__name__} has no `preprocessing`: no export", file=sys.stderr)
    write_card(folder, facts)
    write_atomically(folder / METRICS, json.dumps(metrics, indent=2))
    return metrics


def _metrics_on_training(
    trainer: L.Trainer, model: L.LightningModule, data: TensorDataModule
) -> dict[str, dict[str, float]]:
    """What the test step gives on the rows of training, under the same names, and kept out of the logs."""
    loggers, trainer.loggers = trainer.loggers, []
    try:
        metrics = trainer.test(model, dataloaders=data.evaluation_batches("train"), verbose=False)[0]
        return {TRAINING: dict(metrics)}
    finally:
        trainer.loggers = loggers


def metrics_in_validation(search: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """What the best trial reached in its best epoch, by its CSV log, under the names of the test's metrics."""
    try:
        with (Path(str(search.get("best_folder"))) / CSV_LOG).open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["epoch"] == str(search["best_epoch"])]
        found = {f"test/{k[4:]}": float(v) for row in rows for k, v in row.items() if k.startswith("val/") and v}
    except (OSError, KeyError, ValueError):  # there is another logger
        return {}
    return {VALIDATION: found} if found else {}


def _write_model(folder: Path, cfg: DictConfig, *, model: L.LightningModule) -> None:
    with replacing(folder / WEIGHTS) as temporary:
        torch.save(model.state_dict(), temporary)
    write_atomically(folder / CONFIG, OmegaConf.to_yaml(cfg, resolve=True))


def _export(folder: Path, formats: Sequence[str], *, model: L.LightningModule, data: TensorDataModule) -> list[str]:
    """Write the exports and tell what became of each; what went wrong is said at once, too."""
    if not formats:
        return []
    from lightsweep.export.formats import export_model

    scaler = getattr(data.preprocessing, "scaler", None)
    x = data.splits.test[0].cpu()
    if scaler is not None:  # so simple that it goes into the file
        x = scaler.inverse(x)
    outputs = InferenceModel(model, data.target, scaler=scaler)
    exports = export_model(folder, formats=formats, outputs=outputs, x=x, about=_about_export(data))
    for export in exports:
        if not export.kept:
            print(f"warning: export=[{export.name}]: {export.told}", file=sys.stderr)
    return [export.told for export in exports]


def _about_export(data: TensorDataModule) -> dict[str, Any]:
    """What a program has to know that runs an exported file."""
    scaled = hasattr(data.preprocessing, "scaler")
    is_regression = data.target.task.is_regression
    return {
        "input": "raw features" if scaled else f"what {PREPROCESSING} makes of raw rows, as load(folder).preprocessing",
        "columns": list(getattr(data.preprocessing, "features", [])),
        "output": "values in the unit of the targets" if is_regression else "probabilities",
        "outputs": list(data.target.names if is_regression else data.target.classes),
    }


def _found(cfg: DictConfig, model: L.LightningModule) -> dict[str, Any]:
    schedule = getattr(model, "schedule_in_use", None)
    return {"model.schedule": schedule} if schedule and cfg.model.get("schedule") is None else {}


def _search() -> dict[str, Any]:
    folder = folder_of_search()
    return read_results(folder) if folder else {}


def _of_data(model: L.LightningModule, data: TensorDataModule) -> dict[str, Any]:
    """What a card tells of data and target, and of what the model makes of the test split."""
    x, actual = (part.cpu() for part in data.splits.test)
    if data.target.scaler is not None:
        actual = data.target.scaler.inverse(actual)
    columns = _columns_by_kind(data.preprocessing)
    return {
        "target": data.target,
        "rows": {TRAINING: len(data.splits.train[0]), "test": len(x)},
        "columns": columns,
        "predicted": _predicted(InferenceModel(model, data.target), x, n=data.target.d_out),
        "actual": actual,
        "limits": LIMITS_OF_TABLES if columns else LIMITS_OF_ARRAYS,
    }


def _columns_by_kind(preprocessing: Preprocessing) -> dict[str, list[str]]:
    columns = getattr(preprocessing, "columns", None)
    if columns is None:
        return {}
    by_kind: dict[str, list[str]] = {}
    for column in columns.all:
        by_kind.setdefault(str(column.kind), []).append(column.name)
    return by_kind


@torch.inference_mode()
def _predicted(outputs: InferenceModel, x: Tensor, *, n: int) -> Tensor | None:
    predicted = in_batches(outputs, x)
    return predicted if predicted.shape == (len(x), n) else None
