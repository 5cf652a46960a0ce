"""`prepare_data` of a data module: never in two processes of a machine at once, because it may write one folder."""

import functools
import socket
from typing import Any

import pytorch_lightning as L

from lightsweep.files import locked
from lightsweep.trial.context import folder_of_search


def prepare_data_one_at_a_time(data: Any) -> None:
    """Let the data module of a trial wait in `prepare_data` until no other trial of its search is in it on this host.

    Lightning calls it in the fit of each trial, as it does in each process of one training. The first one downloads,
    and the others find what is there.
    """
    folder = folder_of_search()
    prepare = getattr(type(data), "prepare_data", L.LightningDataModule.prepare_data)
    if folder is None or prepare is L.LightningDataModule.prepare_data:
        return

    @functools.wraps(prepare)  # Lightning looks through it, whether the hook is overridden
    def prepare_data() -> None:
        with locked(folder / f".prepare_data.{socket.gethostname()}.lock"):
            prepare(data)

    data.prepare_data = prepare_data
