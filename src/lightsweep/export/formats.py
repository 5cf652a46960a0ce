"""Exports of a model to ONNX and torch.export. A file is kept only if it computes what the model computes."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightsweep.data.tensors import EVAL_BATCH_SIZE
from lightsweep.export.inference import InferenceModel
from lightsweep.failures import in_one_line
from lightsweep.files import replacing

log = logging.getLogger(__name__)

FILES = {"onnx": "model.onnx", "torch": "model.pt2"}
METADATA = "lightsweep.json"  # a metadata key of the ONNX file, an extra file in the other
TOLERANCE = 1e-4  # of a probability, or of a target's standard deviation
NOISY_LOGGERS = ("torch.onnx", "onnxscript")

Run = Callable[[Tensor], Tensor]


class ExportFailedError(Exception):
    """The reason why a file was not kept, as a clause."""


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """The result of one export; `message` is one line for the model card, and for a warning if the file is not kept."""

    name: str
    is_kept: bool
    message: str


@torch.inference_mode()
def export_model(
    folder: Path, *, formats: Sequence[str], model: InferenceModel, x: Tensor, metadata: Mapping[str, Any]
) -> list[ExportResult]:
    """Write the model with its metadata in each format, and compare each file with the model on `x` `(n, d_in)`.

    A file that differs by more than `TOLERANCE` is deleted. An export that fails does not stop the others.
    """
    with _quiet_exporters():
        return [
            _export(folder / FILES[name], name, model=model.eval(), x=x, metadata=json.dumps(metadata))
            for name in dict.fromkeys(formats)
        ]


def _export(path: Path, name: str, *, model: InferenceModel, x: Tensor, metadata: str) -> ExportResult:
    try:
        difference = _write(path, name, model=model, x=x, metadata=metadata)
    except ExportFailedError as error:
        return ExportResult(name=name, is_kept=False, message=f"no {path.name}, because {error}")
    except Exception as error:  # an exporter may raise anything, and the folder of the model must be written
        log.info("The export failed", exc_info=error)
        return ExportResult(name=name, is_kept=False, message=f"no {path.name}, because of {in_one_line(error)}")
    message = f"{path.name}: at most {difference:.1e} from the model on the test split"
    return ExportResult(name=name, is_kept=True, message=message)


def _write(path: Path, name: str, *, model: InferenceModel, x: Tensor, metadata: str) -> float:
    """Write the file, and return its largest difference from the model."""
    path.unlink(missing_ok=True)  # the file of an earlier refit would pass for this one's
    example = torch.zeros(2, x.shape[1])  # torch.export takes a batch size of 1 for a constant
    program = torch.export.export(model, (example,), dynamic_shapes={"x": {0: torch.export.Dim("batch")}})
    with replacing(path) as temporary:
        run = {"onnx": _save_onnx, "torch": _save_torch}[name](program, temporary, metadata)
        difference = _largest_difference(run, model, x)
        if not difference <= TOLERANCE:  # also if it is nan
            unit = "a target's standard deviation" if model.is_regression else "a probability"
            raise ExportFailedError(
                f"it differs by {difference:.1e} of {unit} from the model on the test split; {TOLERANCE} is allowed"
            )
    return difference


def _save_torch(program: torch.export.ExportedProgram, path: Path, metadata: str) -> Run:
    with path.open("wb") as file:  # torch.export refuses a path that does not end in .pt2
        torch.export.save(program, file, extra_files={METADATA: metadata})
    with path.open("rb") as file:
        run: Run = torch.export.load(file).module()
    return run


def _save_onnx(program: torch.export.ExportedProgram, path: Path, metadata: str) -> Run:
    import onnxruntime

    onnx = torch.onnx.export(program, dynamo=True, input_names=["x"], output_names=["y"], verbose=False)
    assert onnx is not None
    onnx.model.metadata_props[METADATA] = metadata
    onnx.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def _largest_difference(run: Run, model: InferenceModel, x: Tensor) -> float:
    batches = [x[:1], *torch.split(x, EVAL_BATCH_SIZE)]  # of several sizes
    differences = [((run(batch) - model(batch)) / model.target_std).abs().max() for batch in batches]
    return float(torch.stack(differences).max())


@contextmanager
def _quiet_exporters() -> Iterator[None]:
    """Silence the exporters' remarks on their own internals, and on packages that are not needed."""
    loggers = [logging.getLogger(name) for name in NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
