"""The refit: train on the rows of training and validation, or take over the checkpoint of the best trial."""

import copy
import logging
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, RandomSampler, SequentialSampler

from lightsweep.config.resampling import (
    fold_folder,
    is_reshuffled,
    n_folds_to_train,
    settings_of_fold,
    val_seed_of_trial,
)
from lightsweep.errors import USER_ERRORS
from lightsweep.failures import TrialStoppedError, full_disk, in_one_line
from lightsweep.model.construction import build_data_and_model
from lightsweep.trial.context import folder_of_search
from lightsweep.trial.outcome import ALL_ROWS

log = logging.getLogger(__name__)

TRAINING_ROWS = "training data"
CHECKPOINT = "training data, by the best trial (its checkpoint)"


@dataclass(frozen=True, kw_only=True)
class Refit:
    """A trained model, with the data and the config that belong to it, and what its weights were trained on.

    That is in words, the number of rows if it is known, and the epochs. `failed` is the reason why the refit failed, if
    the weights are those of the best trial.
    """

    cfg: DictConfig
    model: L.LightningModule
    data: Any
    trained_on: str
    n_rows: int | None
    n_epochs: int
    failed: str | None = None


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
        if checkpoint is None or full_disk(error, checkpoint.parent):
            raise
        failed = in_one_line(error)
        log.warning("The refit failed, so the model is the best trial's checkpoint: %s", failed)
        log.info("".join(traceback.format_exception(error)))
    else:
        done = Refit(
            cfg=cfg,
            model=model,
            data=data,
            trained_on=loaders.trained_on if loaders else ALL_ROWS,
            n_rows=loaders.n_rows if loaders else _n_training_rows(data),
            n_epochs=trainer.current_epoch,
        )
        return _limited(done) if _is_limited(trainer, trainer.train_dataloader) else done
    if loaders is None:
        cfg, model, data = _as_in_the_trial(cfg)
    done = Refit(
        cfg=cfg,
        model=model,
        data=data,
        trained_on=CHECKPOINT,
        n_rows=loaders.n_training_rows if loaders else _n_training_rows(data),
        n_epochs=_load(checkpoint, model),
        failed=failed,
    )
    loader = loaders.training if loaders else data.train_dataloader() if hasattr(data, "splits") else None
    return _limited(done) if _is_limited(trainer, loader) else done


def _as_in_the_trial(cfg: DictConfig) -> tuple[DictConfig, L.LightningModule, Any]:
    """Build model and data without `refit`: it changes the preprocessing, and so what the weights expect."""
    cfg = copy.deepcopy(cfg)
    cfg.refit = False  # `data.refit`, and what else follows it
    if is_reshuffled(cfg):
        cfg.data.val_seed = val_seed_of_trial(HydraConfig.get().job.num)
    if n_folds_to_train(cfg) > 1:
        cfg.data.update(settings_of_fold(0))
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    data, model = build_data_and_model(cfg)
    return cfg, model, data


def _n_training_rows(data: Any) -> int | None:
    return len(data.splits.train[0]) if hasattr(data, "splits") else None


def _limited(done: Refit) -> Refit:
    return replace(done, trained_on=f"a part of {done.trained_on}, limited by the trainer", n_rows=None)


def _is_limited(trainer: L.Trainer, loader: Any) -> bool:
    """True if the trainer reads a share of the batches, or fewer than the loader has; `overfit_batches` sets the limit.

    Also true if there is a number of batches as the limit, and the loader has no length to compare it with.
    """
    limit = trainer.limit_train_batches
    if isinstance(limit, float):
        return limit < 1
    try:
        return isinstance(loader, list | tuple | dict) or len(loader) > limit
    except TypeError:
        return True


def best_checkpoint() -> Path | None:
    """Return the checkpoint of the best trial, whose number is that of the refit's job; None outside a search.

    Of a trial with several folds it is that of the first.
    """
    folder = folder_of_search()
    if folder is None:
        return None
    trial = folder / str(HydraConfig.get().job.num)
    paths = (of / "checkpoints" / "best.ckpt" for of in (trial, fold_folder(trial, 0)))
    return next((path for path in paths if path.is_file()), None)


def _load(checkpoint: Path, model: L.LightningModule) -> int:
    """Load the weights as Lightning's `load_from_checkpoint` does, and return their number of epochs."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model.on_load_checkpoint(saved)
    model.configure_model()
    model.load_state_dict(saved["state_dict"])
    return int(saved["epoch"]) + 1


class JoinedLoaders:
    """Stands in for a data module's `train_dataloader`; `trained_on` and `n_rows` are set when it is called.

    `training` is the training loader alone, and `n_training_rows` the number of its rows if it is known.
    With `strict` it raises `NotJoinableError` if the loaders can't be joined, otherwise it uses the training loader.
    """

    def __init__(self, data: L.LightningDataModule, *, strict: bool) -> None:
        self._load_training = data.train_dataloader
        self._load_validation = data.val_dataloader
        self.strict = strict
        self.trained_on = TRAINING_ROWS
        self.n_rows: int | None = None
        self.training: Any = None
        self.n_training_rows: int | None = None

    def train_dataloader(self) -> Any:
        training = self.training = self._load_training()
        if _obstacle(training) is None:
            self.n_training_rows = len(training.dataset)
        try:
            joined = join_loaders(training, self._load_validation())
        except NotJoinableError as error:
            if self.strict:
                raise
            log.warning("The refit trains without the rows of validation: %s", error)
            return training
        self.trained_on, self.n_rows = ALL_ROWS, len(joined.dataset)  # type: ignore[arg-type]
        return joined


def join_loaders(training: Any, validation: Any) -> DataLoader[Any]:
    """Return a loader like `training` of the rows of both.

    Raises `NotJoinableError` unless each is a `DataLoader` that reads every row of its dataset once, in their order or
    shuffled; and if there are several validation loaders, because many modules watch the test rows in one of them.
    """
    loaders = [training, *(validation if isinstance(validation, list | tuple) else [validation])]
    if len(loaders) > 2:
        raise NotJoinableError("there are several validation loaders, and one of them may hold test rows")
    for name, loader in zip(("training", "validation"), loaders, strict=False):
        if reason := _obstacle(loader):
            raise NotJoinableError(f"the {name} loader {reason}")
    return DataLoader(
        ConcatDataset([loader.dataset for loader in loaders]),
        batch_size=training.batch_size,
        shuffle=type(training.sampler) is RandomSampler,
        **_settings(training),
    )


def _obstacle(loader: Any) -> str | None:
    if not isinstance(loader, DataLoader):
        return f"is a {type(loader).__name__}, not a DataLoader"
    if isinstance(loader.dataset, IterableDataset) or not hasattr(loader.dataset, "__len__"):
        return f"reads {type(loader.dataset).__name__}, which has no length"
    sampler = loader.sampler
    if type(sampler) not in (RandomSampler, SequentialSampler) or loader.batch_size is None:
        return f"has a {type(sampler).__name__} or batch sampler of its own"
    n = len(sampler)  # type: ignore[arg-type]
    if n != len(loader.dataset) or (isinstance(sampler, RandomSampler) and sampler.replacement):
        return f"has a {type(sampler).__name__} that does not read each row once"
    return None


def _settings(loader: DataLoader[Any]) -> dict[str, Any]:
    names = ("num_workers", "collate_fn", "pin_memory", "drop_last", "timeout", "worker_init_fn", "generator")
    of_workers = ("multiprocessing_context", "prefetch_factor", "persistent_workers")
    return {name: getattr(loader, name) for name in (*names, *(of_workers if loader.num_workers else ()))}
