"""The refit: train on the rows of training and validation, or take over the checkpoint of the best trial."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, RandomSampler, SequentialSampler

from lightsweep.errors import USER_ERRORS
from lightsweep.failures import TrialStoppedError, full_disk, in_one_line
from lightsweep.trial.context import folder_of_search
from lightsweep.trial.outcome import ALL_ROWS

log = logging.getLogger(__name__)

TRAINING_ROWS = "training data"
CHECKPOINT = "training data, by the best trial (its checkpoint)"


@dataclass(frozen=True)
class Refit:
    """What the weights of a refit were trained on: in words, the number of rows if it is known, and the epochs."""

    trained_on: str
    n_rows: int | None
    n_epochs: int


class NotJoinableError(Exception):
    """The rows of training and validation can't be read by one `DataLoader`; the message is the reason."""


def refit(cfg: DictConfig, *, trainer: L.Trainer, model: L.LightningModule, data: Any) -> Refit:
    """Fit the model on the rows of training and validation.

    A data module whose config has no `refit` gives both in one loader. If that is not possible, or its fit fails, for
    example because a scheduler needs a validation metric, the model gets the weights of the best trial's checkpoint.
    A run outside a search has no best trial: it trains on the rows of training, or raises what the fit raised.
    """
    checkpoint = best_checkpoint()
    loaders = None
    if "refit" not in cfg.data:
        loaders = JoinedLoaders(data, strict=checkpoint is not None)
        data.train_dataloader = loaders.train_dataloader
    try:
        trainer.fit(model, datamodule=data)
    except (*USER_ERRORS, TrialStoppedError):
        raise
    except Exception as error:
        # Data that takes `refit` has fitted its preprocessing on all rows, which the checkpoint does not know.
        if checkpoint is None or "refit" in cfg.data or full_disk(error, checkpoint.parent):
            raise
        log.warning("The refit failed, so the model is the best trial's checkpoint: %s", in_one_line(error))
        return _load(checkpoint, model)
    if _is_limited(trainer):
        rows = loaders.trained_on if loaders is not None else ALL_ROWS
        return Refit(f"a part of {rows}, limited by the trainer", None, trainer.current_epoch)
    if loaders is not None:
        return Refit(loaders.trained_on, loaders.n_rows, trainer.current_epoch)
    return Refit(ALL_ROWS, len(data.splits.train[0]) if hasattr(data, "splits") else None, trainer.current_epoch)


def _is_limited(trainer: L.Trainer) -> bool:
    """True if the trainer reads a share, or a number, of the batches; `overfit_batches` sets the same limit."""
    limit = trainer.limit_train_batches
    return limit < 1 if isinstance(limit, float) else trainer.num_training_batches == limit


def best_checkpoint() -> Path | None:
    """Return the checkpoint of the best trial, whose number is that of the refit's job; None outside a search."""
    folder = folder_of_search()
    if folder is None:
        return None
    path = folder / str(HydraConfig.get().job.num) / "checkpoints" / "best.ckpt"
    return path if path.is_file() else None


def _load(checkpoint: Path, model: L.LightningModule) -> Refit:
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model.load_state_dict(saved["state_dict"])
    return Refit(CHECKPOINT, None, saved["epoch"] + 1)


class JoinedLoaders:
    """Stands in for a data module's `train_dataloader`; `trained_on` and `n_rows` are set when it is called.

    With `strict` it raises `NotJoinableError` if the loaders can't be joined, otherwise it uses the training loader.
    """

    def __init__(self, data: L.LightningDataModule, *, strict: bool) -> None:
        self._training = data.train_dataloader
        self._validation = data.val_dataloader
        self.strict = strict
        self.trained_on = TRAINING_ROWS
        self.n_rows: int | None = None

    def train_dataloader(self) -> Any:
        training = self._training()
        try:
            joined = join_loaders(training, self._validation())
        except NotJoinableError as error:
            if self.strict:
                raise
            log.warning("The refit trains without the rows of validation: %s", error)
            return training
        self.trained_on, self.n_rows = ALL_ROWS, len(joined.dataset)  # type: ignore[arg-type]
        return joined


def join_loaders(training: Any, validation: Any) -> DataLoader[Any]:
    """Return a loader like `training` of the rows of both.

    Raises `NotJoinableError` unless each is a `DataLoader` of a dataset with a length, and `training` reads its rows
    in their order or shuffled; and if there are several validation loaders, because many modules watch the test rows
    in one of them.
    """
    loaders = [training, *(validation if isinstance(validation, list | tuple) else [validation])]
    if len(loaders) > 2:
        raise NotJoinableError("there are several validation loaders, and one of them may hold test rows")
    for reason in map(_obstacle, loaders):
        if reason:
            raise NotJoinableError(reason)
    if type(training.sampler) not in (RandomSampler, SequentialSampler) or training.batch_size is None:
        raise NotJoinableError(
            f"the training loader has a {type(training.sampler).__name__} or batch sampler of its own"
        )
    return DataLoader(
        ConcatDataset([loader.dataset for loader in loaders]),
        batch_size=training.batch_size,
        shuffle=type(training.sampler) is RandomSampler,
        **_settings(training),
    )


def _obstacle(loader: Any) -> str | None:
    if not isinstance(loader, DataLoader):
        return f"{type(loader).__name__} is not a DataLoader"
    if isinstance(loader.dataset, IterableDataset) or not hasattr(loader.dataset, "__len__"):
        return f"{type(loader.dataset).__name__} has no length"
    return None


def _settings(loader: DataLoader[Any]) -> dict[str, Any]:
    names = ("num_workers", "collate_fn", "pin_memory", "drop_last", "timeout", "worker_init_fn", "generator")
    of_workers = ("multiprocessing_context", "prefetch_factor", "persistent_workers")
    return {name: getattr(loader, name) for name in (*names, *(of_workers if loader.num_workers else ()))}
