"""Several mini-batches per Lightning step: a small network computes for less time than Lightning needs for one step."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, ProgressBar
from pytorch_lightning.plugins import Precision
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.optim import Optimizer

from lightsweep.errors import ConfigError

Batch = tuple[Tensor, Tensor]
OptimizerOf = Callable[[Iterable[nn.Parameter]], Optimizer]

SECONDS_PER_STEP = 0.5  # between two steps callbacks look at the clock, and the progress bar moves

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
TRAINER_SETTINGS: dict[str, Any] = {
    "accumulate_grad_batches": 1,
    "limit_train_batches": 1.0,
    "overfit_batches": 0.0,
    "val_check_interval": 1.0,
    "max_steps": -1,
}


class BatchIterator(Protocol):
    """What Lightning hands to a step that fetches its batches itself."""

    @property
    def done(self) -> bool: ...

    def __iter__(self) -> "BatchIterator": ...

    def __next__(self) -> tuple[Batch, int, int]: ...


class TrainingSteps(L.LightningModule):
    """A module that gives the loss of a mini-batch `(x, y)`; how it is lowered is the same for all, and done here.

    `batches_per_step` mini-batches make one Lightning step; null takes what half a second allows, and 1 is Lightning's
    usual step, with all its hooks. The weights and the logged losses do not depend on it. What works by the step alone,
    such as gradient accumulation or a callback that looks at each batch, makes null mean 1.

    Logs `train/loss` once per epoch, the mean over all rows. Raises `ConfigError` in `setup` if `batches_per_step` is
    more than 1 and something needs single steps.
    """

    def __init__(self, *, optimizer: OptimizerOf, batches_per_step: int | None) -> None:
        super().__init__()
        self.optimizer_of = optimizer
        self.batches_per_step = batches_per_step
        self._losses: list[Tensor] = []
        self._rows: list[int] = []

    @abstractmethod
    def loss_of(self, batch: Batch) -> Tensor:
        """The mean loss over the rows of the batch."""

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer_of(self.parameters())

    def setup(self, stage: str) -> None:
        is_smoke_test = self.trainer.fast_dev_run  # type: ignore[attr-defined]
        if stage != "fit" or self.batches_per_step == 1 or is_smoke_test:
            return
        obstacle = _obstacle(self, self.trainer)
        if obstacle is None:
            self.automatic_optimization = False
            vars(self)["training_step"] = self._train_on_many  # Lightning goes by the name of the argument
        elif self.batches_per_step is not None:
            raise ConfigError(
                f"model.batches_per_step is {self.batches_per_step}, but {obstacle} works by the single batch:"
                " use model.batches_per_step=1, or null, which goes by what else is asked for."
            )

    def teardown(self, stage: str) -> None:
        if vars(self).pop("training_step", None) is not None:
            self.automatic_optimization = True

    def on_train_epoch_start(self) -> None:
        self._forget_losses()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss_of(batch)
        self._keep_loss(loss, n_rows=len(batch[1]))
        if self.trainer.is_last_batch:
            self._log_loss()
        return loss

    def _train_on_many(self, dataloader_iter: BatchIterator) -> None:
        [optimizer] = self.trainer.optimizers  # the bare one: Lightning's own does more at each step than it needs
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        clip = self.trainer.gradient_clip_val
        device = self.device
        is_plain = type(self.trainer.precision_plugin) is Precision
        deadline = time.monotonic() + SECONDS_PER_STEP
        n_batches = 0
        while n_batches != self.batches_per_step and time.monotonic() < deadline:
            fetched = next(dataloader_iter, None)
            if fetched is None:
                break
            batch = fetched[0] if is_plain else self.trainer.precision_plugin.convert_input(fetched[0])
            if batch[0].device != device:
                batch = self.trainer.strategy.batch_to_device(batch)
            loss = self.loss_of(batch)
            for parameter in parameters:  # as `zero_grad` does, which takes longer to find out what it need not do
                parameter.grad = None
            loss.backward()  # type: ignore[no-untyped-call]
            if clip:
                self.clip_gradients(optimizer, clip, self.trainer.gradient_clip_algorithm)
            optimizer.step()
            self._keep_loss(loss, n_rows=len(batch[1]))
            n_batches += 1
        _count_steps(self.trainer, n_batches)
        if dataloader_iter.done:
            self._log_loss()

    def on_train_epoch_end(self) -> None:
        if self._losses:  # the epoch ended early
            self._log_loss()

    def _keep_loss(self, loss: Tensor, *, n_rows: int) -> None:
        self._losses.append(loss.detach())  # on the device: a number would make the next step wait for this one
        self._rows.append(n_rows)

    def _log_loss(self) -> None:
        losses = torch.stack(self._losses)
        n_rows = torch.tensor(self._rows, dtype=losses.dtype, device=losses.device)
        mean = (losses * n_rows).sum() / n_rows.sum()
        self.log("train/loss", mean, on_step=False, on_epoch=True, batch_size=1)
        self._forget_losses()

    def _forget_losses(self) -> None:
        self._losses, self._rows = [], []


def _obstacle(module: TrainingSteps, trainer: L.Trainer) -> str | None:
    """What is asked for that needs Lightning's usual steps, None if nothing is."""
    for name, default in TRAINER_SETTINGS.items():
        if getattr(trainer, name) != default:
            return f"trainer.{name}={getattr(trainer, name)}"
    if not isinstance(trainer.strategy, SingleDeviceStrategy):
        return f"trainer.strategy={type(trainer.strategy).__name__}"
    if getattr(trainer.precision_plugin, "scaler", None) is not None:
        return f"trainer.precision={trainer.precision}, which scales the gradients,"
    for name in MODULE_HOOKS:
        if getattr(type(module), name) is not getattr(TrainingSteps, name):
            return f"{type(module).__name__}.{name}"
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if hook := _hook_of_batches(callback):
            return f"{type(callback).__name__}.{hook}"
    return None


def _hook_of_batches(callback: Callback) -> str | None:
    """The first hook with which a callback looks at each batch, None if it can do with fewer looks."""
    if isinstance(callback, ProgressBar) or not getattr(callback, "looks_at_batches", True):
        return None
    if isinstance(callback, ModelCheckpoint) and not (callback._every_n_train_steps or callback._train_time_interval):
        return None
    overridden = (name for name in CALLBACK_HOOKS if getattr(type(callback), name) is not getattr(Callback, name))
    return next(overridden, None)


def _count_steps(trainer: L.Trainer, n: int) -> None:
    """Tell Lightning, which counted one step, of the `n` that were made: it judges by them whether there is news."""
    epoch_loop = trainer.fit_loop.epoch_loop
    manual = epoch_loop.manual_optimization.optim_step_progress
    automatic = epoch_loop.automatic_optimization.optim_progress.optimizer.step  # for a fit that goes on with this kind
    for counts in (manual.total, manual.current, automatic.total, automatic.current):
        counts.ready += n
        counts.completed += n
    epoch_loop._batches_that_stepped += n - 1
