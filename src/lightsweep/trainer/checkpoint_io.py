"""Writes checkpoints."""

import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a temporary file in the same directory and renames it: a kill leaves the old checkpoint or the new one.

    Lightning's own writes to the system's temporary directory, which is often on another disk, and copies the file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
        try:
            torch.save(checkpoint, temporary)
            temporary.replace(final)
        finally:
            temporary.unlink(missing_ok=True)
