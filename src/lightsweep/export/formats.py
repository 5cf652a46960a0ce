"""A shipped model for where Python or this package is not: each file is compared with the model before it is kept."""

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
ABOUT = "lightsweep.json"  # inside of either file: the key of its metadata, or the name of its extra file
TOLERANCE = 1e-4  # of a probability, or of a target's standard deviation
NOISY = ("torch.onnx", "onnxscript")

Run = Callable[[Tensor], Tensor]


class ExportFailedError(Exception):
    """Says in one sentence why a file was not kept."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """What became of one file: `told` is a clause."""

    name: str
    kept: bool
    told: str


@torch.inference_mode()
def export_model(
    folder: Path, *, formats: Sequence[str], outputs: InferenceModel, x: Tensor, about: Mapping[str, Any]
) -> list[Export]:
    """Write the model in each format, with `about` inside.

    `x` `(n, d_in)` are the rows to compare on. A file whose results differ by more than `TOLERANCE` is not kept; nor
    does a format that fails keep the others from being written.
    """
    with _quiet():
        return [
            _export(folder / FILES[name], name, outputs=outputs.eval(), x=x, about=json.dumps(about))
            for name in dict.fromkeys(formats)
        ]


def _export(path: Path, name: str, *, outputs: InferenceModel, x: Tensor, about: str) -> Export:
    try:
        difference = _write(path, name, outputs=outputs, x=x, about=about)
    except ExportFailedError as error:
        return Export(name=name, kept=False, told=f"no {path.name}, because {error}")
    except Exception as error:  # the model itself is shipped, whatever an exporter makes of it
        log.info("The export failed", exc_info=error)
        return Export(name=name, kept=False, told=f"no {path.name}, because of {in_one_line(error)}")
    told = f"{path.name}: at most {difference:.1e} from the model on the test split"
    return Export(name=name, kept=True, told=told)


def _write(path: Path, name: str, *, outputs: InferenceModel, x: Tensor, about: str) -> float:
    path.unlink(missing_ok=True)  # one of a former refit would be taken for this one's
    with replacing(path) as temporary:
        program = _program(outputs, d_in=x.shape[1])
        run = _save_onnx(program, temporary, about) if name == "onnx" else _save_torch(program, temporary, about)
        difference = _largest_difference(run, outputs, x)
        if not difference <= TOLERANCE:  # it can be no number
            unit = "a target's standard deviation" if outputs.is_regression else "a probability"
            raise ExportFailedError(
                f"it differs by {difference:.1e} of {unit} from the model on the test split, and {TOLERANCE} is allowed"
            )
    return difference


def _program(outputs: InferenceModel, *, d_in: int) -> torch.export.ExportedProgram:
    example = torch.zeros(2, d_in)  # one row would be taken for a constant
    return torch.export.export(outputs, (example,), dynamic_shapes={"x": {0: torch.export.Dim("batch")}})


def _save_torch(program: torch.export.ExportedProgram, path: Path, about: str) -> Run:
    with path.open("wb") as file:  # a path must end in .pt2
        torch.export.save(program, file, extra_files={ABOUT: about})
    with path.open("rb") as file:
        run: Run = torch.export.load(file).module()
    return run


def _save_onnx(program: torch.export.ExportedProgram, path: Path, about: str) -> Run:
    import onnxruntime

    onnx = torch.onnx.export(program, dynamo=True, input_names=["x"], output_names=["y"], verbose=False)
    assert onnx is not None
    onnx.model.metadata_props[ABOUT] = about
    onnx.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def _largest_difference(run: Run, outputs: InferenceModel, x: Tensor) -> float:
    batches = [x[:1], *torch.split(x, EVAL_BATCH_SIZE)]  # of several sizes
    differences = [((run(batch) - outputs(batch)) / outputs.unit).abs().max() for batch in batches]
    return float(torch.stack(differences).max())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' remarks on their own parts, and on packages that no model here needs."""
    loggers = [logging.getLogger(name) for name in NOISY]
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
