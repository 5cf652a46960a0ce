"""How checkpoints are written."""

import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the final name and renames, so that a kill leaves the former checkpoint or the new one.

    Lightning's own writes to the system's folder for temporary files, which is often another disk, and copies.
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
