"""Several mini-batches per Lightning step: a small network computes for less time than Lightning needs for one step."""

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable
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
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.plugins import Precision
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from lightsweep.errors import ConfigError
from lightsweep.model.mlp import check_is_one_of
from lightsweep.model.schedules import SCHEDULES, Factor

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
    "min_steps": None,
}
BATCHES_OF_A_SMOKE_TEST = 5  # per step, so that one of two is free of what is loaded with the first batch
OF_A_SMOKE_TEST = ("limit_train_batches", "max_steps")  # which `fast_dev_run` sets
BY_THE_STEP = (GradientAccumulationScheduler, StochasticWeightAveraging)  # without a hook for each batch


class TrainingSteps(L.LightningModule):
    """A module that gives the loss of a mini-batch `(x, y)`; how it is lowered is the same for all, and done here.

    `batches_per_step` mini-batches make one Lightning step, fewer if they take longer than half a second; null takes as
    many as that allows, and 1 is Lightning's usual step, with all its hooks. The weights and the logged losses do not
    depend on it. What works by the step alone, such as gradient accumulation or a callback that looks at each batch,
    makes null mean 1. `n_optimizer_steps` counts the steps of the optimizer, over all that a fit has gone on from;
    `trainer.global_step`, and the `step` that loggers get, count Lightning's.

    With a `schedule` each step's learning rate is the optimizer's times a factor, which depends on the share of all
    steps up to `max_epochs` that were made, and on nothing else: a fit that goes on from a checkpoint follows it, and a
    shorter fit goes through all of it in fewer steps. Null is one cycle, unless the module has a schedule of its own or
    the training no end in sight.

    Logs `train/loss` once per epoch, the mean over all rows. Raises `ConfigError` in `setup` if `batches_per_step` is
    more than 1 and something needs single steps.
    """

    def __init__(self, *, optimizer: OptimizerOf, schedule: str | None, batches_per_step: int | None) -> None:
        super().__init__()
        if schedule is not None:
            check_is_one_of("model.schedule", schedule, SCHEDULES)
        self.optimizer_of = optimizer
        self.schedule = schedule
        self.schedule_in_use: str | None = None  # from the start of a training on
        self._factor_of: Factor | None = None
        self._n_steps_of_fit = 0  # if there is a schedule
        self.n_optimizer_steps = 0
        self._counting: RemovableHandle | None = None
        self.batches_per_step = batches_per_step
        self._n_at_most = batches_per_step
        self._is_manual_for_now = False
        self._losses: list[Tensor] = []
        self._rows: list[int] = []

    @abstractmethod
    def loss_of(self, batch: Batch) -> Tensor:
        """The mean loss over the rows of the batch."""

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer_of(self.parameters())

    def configure_callbacks(self) -> list[Callback]:
        self._back_to_single_steps()  # a fit that failed has not come to its teardown
        if self._is_manual_for_now and self.trainer.state.fn == TrainerFn.FITTING:  # before Lightning checks the fit
            self._is_manual_for_now = False
            self.automatic_optimization = True
        return []

    def setup(self, stage: str) -> None:
        if stage == "fit" and self.trainer.current_epoch == 0:
            self.n_optimizer_steps = 0  # a checkpoint is loaded later
        if stage != "fit" or self.batches_per_step == 1:
            return
        is_smoke_test = self.trainer.fast_dev_run and self.batches_per_step is None  # type: ignore[attr-defined]
        self._n_at_most = BATCHES_OF_A_SMOKE_TEST if is_smoke_test else self.batches_per_step
        obstacle = _obstacle(self, self.trainer)
        if obstacle is None:
            self._is_manual_for_now = True  # until the next fit: `trainer.global_step` goes by it
            self.automatic_optimization = False
            vars(self)["training_step"] = self._train_on_many  # Lightning goes by the name of the argument
        elif self.batches_per_step is not None:
            raise ConfigError(
                f"model.batches_per_step is {self.batches_per_step}, but {obstacle} works by the single batch:"
                " use model.batches_per_step=1, or null, which goes by what else is asked for."
            )

    def teardown(self, stage: str) -> None:
        self._back_to_single_steps()

    def _back_to_single_steps(self) -> None:
        vars(self).pop("training_step", None)

    def on_train_start(self) -> None:
        if self._counting is not None:
            self._counting.remove()
        self._counting = self.trainer.optimizers[0].register_step_post_hook(self._count_step)
        self.schedule_in_use = _schedule_of(self.trainer, self.schedule)
        self._factor_of = SCHEDULES[self.schedule_in_use]
        if self._factor_of is not None:
            self._n_steps_of_fit = int(self.trainer.estimated_stepping_batches)

    def _count_step(self, *_: Any) -> None:
        self.n_optimizer_steps += 1

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["global_step"] = self.n_optimizer_steps  # Lightning writes it, and goes on by counts of its own

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.n_optimizer_steps = checkpoint["global_step"]

    def _set_learning_rate(self) -> None:
        """Where there is a schedule: that of the next step."""
        if self._factor_of is None:
            return
        factor = self._factor_of(self.n_optimizer_steps / self._n_steps_of_fit)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = factor * group.setdefault("initial_lr", group["lr"])

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        if _scaler_of(self.trainer) is not None:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            # Lightning refuses a fused optimizer with mixed precision, which without a scaler has nothing to unscale.
            algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
            Precision.clip_gradients(self.trainer.precision_plugin, optimizer, gradient_clip_val, algorithm)

    def on_train_epoch_start(self) -> None:
        self._forget_losses()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self._set_learning_rate()
        loss = self.loss_of(batch)
        self._keep_loss(loss, n_rows=len(batch[1]))
        if self.trainer.is_last_batch:
            self._log_loss()
        return loss

    def _train_on_many(self, dataloader_iter: Any) -> None:
        trainer = self.trainer
        [optimizer] = trainer.optimizers
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        counted = self.optimizers()
        assert isinstance(counted, LightningOptimizer)
        step: Callable[[], Any] = counted.step  # by which Lightning counts, and so knows what to save
        deadline = time.monotonic() + SECONDS_PER_STEP
        for n_batches, (batch, _, _) in enumerate(dataloader_iter, start=1):
            batch = trainer.precision_plugin.convert_input(batch)
            if batch[0].device != self.device:
                batch = trainer.strategy.batch_to_device(batch)
            self._set_learning_rate()
            loss = self.loss_of(batch)
            for parameter in parameters:  # as `zero_grad` does, which takes ten times as long
                parameter.grad = None
            loss.backward()  # type: ignore[no-untyped-call]
            self.configure_gradient_clipping(optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm)
            step()
            step = optimizer.step  # Lightning's takes a fifth of the time of a small network's step
            self._keep_loss(loss, n_rows=len(batch[1]))
            if n_batches == self._n_at_most or time.monotonic() > deadline:
                break
        if dataloader_iter.done:
            self._log_loss()

    def on_train_epoch_end(self) -> None:
        self._log_loss()  # if the epoch ended early

    def _keep_loss(self, loss: Tensor, *, n_rows: int) -> None:
        self._losses.append(loss.detach())  # on the device: a number would make the next step wait for this one
        self._rows.append(n_rows)

    def _log_loss(self) -> None:
        if not self._losses:
            return
        losses = torch.stack(self._losses).float()  # half precision can't hold a sum over many rows
        n_rows = torch.tensor(self._rows, dtype=losses.dtype, device=losses.device)
        mean = (losses * n_rows).sum() / n_rows.sum()
        self.log("train/loss", mean, on_step=False, on_epoch=True, batch_size=1)
        self._forget_losses()

    def _forget_losses(self) -> None:
        self._losses, self._rows = [], []


def _obstacle(module: TrainingSteps, trainer: L.Trainer) -> str | None:
    """What is asked for that needs Lightning's usual steps, None if nothing is."""
    for name, default in TRAINER_SETTINGS.items():
        if trainer.fast_dev_run and name in OF_A_SMOKE_TEST:  # type: ignore[attr-defined]
            continue
        value = getattr(trainer, name)
        if value != default or type(value) is not type(default):  # `val_check_interval`: 1 is a batch, 1.0 an epoch
            return f"trainer.{name}={value}"
    if not isinstance(trainer.strategy, SingleDeviceStrategy):
        return f"trainer.strategy={type(trainer.strategy).__name__}"
    if _scaler_of(trainer) is not None:
        return f"trainer.precision={trainer.precision}, which scales the gradients,"
    if getattr(module.optimizer_of, "func", module.optimizer_of) is torch.optim.LBFGS:
        return "optimizer._target_=torch.optim.LBFGS"
    for name in MODULE_HOOKS:
        if getattr(type(module), name) is not getattr(TrainingSteps, name):
            return f"{type(module).__name__}.{name}"
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if hook := _hook_of_batches(callback):
            return f"{type(callback).__name__}.{hook}"
    return None


def _hook_of_batches(callback: Callback) -> str | None:
    """The first hook with which a callback looks at each batch, None if it can do with fewer looks."""
    if isinstance(callback, BY_THE_STEP):
        return "on_train_epoch_start"
    hooks = (hook for hook in CALLBACK_HOOKS if not _can_wait(callback, hook))
    return next(hooks, None)


def _can_wait(callback: Callback, hook: str) -> bool:
    """Whether this hook may be called less often than once per batch: it depends on the class that defines it."""
    if hook in vars(callback):
        return False
    definer = next(kind for kind in type(callback).__mro__ if hook in vars(kind))
    if definer is ModelCheckpoint and vars(type(callback)).get("looks_at_batches", True):
        return "'every_n_train_steps': 0," in callback.state_key and "'train_time_interval': None" in callback.state_key
    is_known = definer in (Callback, ModelCheckpoint)
    is_progress_bar = issubclass(definer, ProgressBar) and definer.__module__.startswith("pytorch_lightning.")
    return is_known or is_progress_bar or not vars(definer).get("looks_at_batches", True)


def _scaler_of(trainer: L.Trainer) -> object | None:
    return getattr(trainer.precision_plugin, "scaler", None)


def _schedule_of(trainer: L.Trainer, asked: str | None) -> str:
    """The schedule that is asked for, or that suits if none is. Raises `ConfigError` if the training can't have it."""
    if asked == "none":
        return asked
    if trainer.lr_scheduler_configs:
        return _refused_unless_null(asked, "the module has a schedule of its own")
    if not 0 < trainer.estimated_stepping_batches < math.inf:  # -1 and infinity are Lightning's ways to say so
        return _refused_unless_null(
            asked, "the training has no end in sight, by trainer.max_epochs and a loader's length"
        )
    return asked or "one_cycle"


def _refused_unless_null(asked: str | None, obstacle: str) -> str:
    if asked is not None:
        raise ConfigError(f"model.schedule is {asked}, but {obstacle}: say model.schedule=none.")
    return "none"
