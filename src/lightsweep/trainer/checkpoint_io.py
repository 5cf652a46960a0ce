"""Writes checkpoints."""

import io
import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule, LightningModule
from pytorch_lightning.plugins.io import TorchCheckpointIO

HYPERPARAMETERS = (
    LightningModule.CHECKPOINT_HYPER_PARAMS_KEY,
    LightningModule.CHECKPOINT_HYPER_PARAMS_TYPE,
    LightningDataModule.CHECKPOINT_HYPER_PARAMS_KEY,
    LightningDataModule.CHECKPOINT_HYPER_PARAMS_TYPE,
)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a temporary file in the same directory and renames it: a kill leaves the old checkpoint or the new one.

    Lightning's own writes to the system's temporary directory, which is often on another disk, and copies the file.
    Hyperparameters that are objects, such as an optimizer's factory, are left out, because a file with them can't be
    read with `weights_only`.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
        try:
            torch.save(_without_objects(checkpoint), temporary)
            temporary.replace(final)
        finally:
            temporary.unlink(missing_ok=True)


def _without_objects(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Leave out the hyperparameters that are objects."""
    hyperparameters = {key: checkpoint[key] for key in HYPERPARAMETERS if key in checkpoint}
    if not hyperparameters or _is_readable(hyperparameters):
        return checkpoint
    kept = {
        key: {name: value for name, value in values.items() if _is_readable(value)}
        for key, values in hyperparameters.items()
        if isinstance(values, dict)
    }
    return {**{key: value for key, value in checkpoint.items() if key not in hyperparameters}, **kept}


def _is_readable(value: Any) -> bool:
    """True if `torch.load` reads the value with `weights_only`."""
    file = io.BytesIO()
    try:
        torch.save(value, file)
        file.seek(0)
        torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # noqa: BLE001  (an object may raise anything when it is pickled)
        return False
    return True
