"""What needs Lightning's usual step of one batch, and so can't be used with several batches per step."""

from typing import Any

import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import (
    Callback,
    GradientAccumulationScheduler,
    ModelCheckpoint,
    ProgressBar,
    StochasticWeightAveraging,
)
from pytorch_lightning.strategies import SingleDeviceStrategy

CALLBACK_HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)
MODULE_HOOKS = (
    *CALLBACK_HOOKS,
    "training_step",
    "configure_optimizers",
    "optimizer_step",
    "optimizer_zero_grad",
    "backward",
    "configure_gradient_clipping",
    "on_before_batch_transfer",
    "transfer_batch_to_device",
    "on_after_batch_transfer",
)
TRAINER_DEFAULTS: dict[str, Any] = {
    "accumulate_grad_batches": 1,
    "limit_train_batches": 1.0,
    "overfit_batches": 0.0,
    "val_check_interval": 1.0,
    "max_steps": -1,
    "min_steps": None,
}
SET_BY_FAST_DEV_RUN = ("limit_train_batches", "max_steps")
SINGLE_BATCH_CALLBACKS = (GradientAccumulationScheduler, StochasticWeightAveraging)  # they have no hook for each batch


def need_for_single_batches(module: L.LightningModule, trainer: L.Trainer, *, base: type, optimizer: Any) -> str | None:
    """Name the setting, or the overridden hook, that needs single batches; None if there is none.

    A hook of the module counts if it is not that of `base`. `optimizer` is a class or a partial of one.
    """
    if setting := _trainer_setting(trainer):
        return setting
    if getattr(optimizer, "func", optimizer) is torch.optim.LBFGS:
        return "optimizer._target_=torch.optim.LBFGS"
    for name in MODULE_HOOKS:
        if getattr(type(module), name) is not getattr(base, name):
            return f"{type(module).__name__}.{name}"
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if hook := _single_batch_hook(callback):
            return f"{type(callback).__name__}.{hook}"
    return None


def gradient_scaler(trainer: L.Trainer) -> object | None:
    """Return the gradient scaler of `precision=16-mixed`; other precisions have none."""
    return getattr(trainer.precision_plugin, "scaler", None)


def _trainer_setting(trainer: L.Trainer) -> str | None:
    for name, default in TRAINER_DEFAULTS.items():
        if trainer.fast_dev_run and name in SET_BY_FAST_DEV_RUN:  # type: ignore[attr-defined]
            continue
        value = getattr(trainer, name)
        if value != default or type(value) is not type(default):  # `val_check_interval`: 1 is a batch, 1.0 an epoch
            return f"trainer.{name}={value}"
    if not isinstance(trainer.strategy, SingleDeviceStrategy):
        return f"trainer.strategy={type(trainer.strategy).__name__}"
    if gradient_scaler(trainer) is not None:
        return f"trainer.precision={trainer.precision}, which scales the gradients,"
    return None


def _single_batch_hook(callback: Callback) -> str | None:
    if isinstance(callback, SINGLE_BATCH_CALLBACKS):
        return "on_train_epoch_start"
    return next((hook for hook in CALLBACK_HOOKS if not _works_per_step(callback, hook)), None)


def _works_per_step(callback: Callback, hook: str) -> bool:
    """True if the class that defines the hook also works when it is called less often than once per batch.

    A callback class declares that by `needs_every_batch = False`.
    """
    if hook in vars(callback):
        return False
    owner = next(cls for cls in type(callback).__mro__ if hook in vars(cls))
    if owner is ModelCheckpoint and vars(type(callback)).get("needs_every_batch", True):
        return "'every_n_train_steps': 0," in callback.state_key and "'train_time_interval': None" in callback.state_key
    is_progress_bar = issubclass(owner, ProgressBar) and owner.__module__.startswith("pytorch_lightning.")
    return owner in (Callback, ModelCheckpoint) or is_progress_bar or not vars(owner).get("needs_every_batch", True)
