"""Several mini-batches per Lightning step: with a small network, Lightning's own work takes most of a step's time."""

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.plugins import Precision
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from lightsweep.errors import ConfigError
from lightsweep.model.mlp import check_is_one_of
from lightsweep.model.schedules import FACTORS, SCHEDULES, Factor, choose_schedule
from lightsweep.model.single_batch import gradient_scaler, need_for_single_batches

Batch = tuple[Tensor, Tensor]
OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]

SECONDS_PER_STEP = 0.5  # after a step callbacks check the time limit, and the progress bar moves
DEV_RUN_BATCHES_PER_STEP = 5  # a dry run measures the second of two steps, without what the first batches load


class MultiBatchModule(L.LightningModule):
    """A module that trains on several mini-batches `(x, y)` per call of `training_step`; subclasses give the loss.

    A step takes `batches_per_step` mini-batches, but ends after half a second. Null sets no number, and 1 is
    Lightning's usual step with all its hooks. Weights and logged losses don't depend on it. Null means 1 if something
    needs single batches, such as gradient accumulation or a callback with a hook for each batch.

    `n_optimizer_steps` counts steps of the optimizer, including those before the checkpoint that a fit resumed from.
    `trainer.global_step`, and the `step` that loggers get, count Lightning's steps.

    A `schedule` multiplies the optimizer's learning rate by a factor that depends only on the share of the steps up to
    `max_epochs` that are done: a resumed fit continues the schedule, and a shorter fit runs through all of it. Null is
    one_cycle, or none if the module has its own scheduler or the number of steps is unknown.

    Logs `train/loss` once per epoch, the mean over all rows. `setup` raises `ConfigError` if `batches_per_step` is more
    than 1 and something needs single batches.
    """

    def __init__(
        self,
        *,
        optimizer: OptimizerFactory,
        schedule: str | None,
        batches_per_step: int | None,
        weight_decay_schedule: str = "constant",
    ) -> None:
        super().__init__()
        if schedule is not None:
            check_is_one_of("model.schedule", schedule, SCHEDULES)
        check_is_one_of("model.weight_decay_schedule", weight_decay_schedule, FACTORS)
        self.optimizer_factory = optimizer
        self.schedule = schedule
        self.schedule_in_use: str | None = None  # known when a training starts
        self._factors: dict[str, Factor] = {}  # of settings of the optimizer; known when a training starts
        self._weight_decay_factor = FACTORS[weight_decay_schedule]
        self._n_planned_steps = 0  # of the optimizer; 0 if the number is unknown
        self.n_optimizer_steps = 0
        self._step_counter: RemovableHandle | None = None
        self.batches_per_step = batches_per_step
        self._max_batches = batches_per_step
        self._switched_to_manual = False
        self._losses: list[Tensor] = []
        self._rows: list[int] = []

    @abstractmethod
    def compute_loss(self, batch: Batch) -> Tensor:
        """Return the mean loss over the rows of the batch."""

    def configure_optimizers(self) -> Optimizer:
        if self.optimizer_factory is None:  # `optimizer=null` is for models with an optimizer of their own
            raise ConfigError("optimizer is null, but this model needs one: choose it, such as optimizer=adam.")
        optimizer = self.optimizer_factory(self.parameter_groups())
        for group in optimizer.param_groups:
            group["lr"] *= group.pop("lr_factor", 1.0)
        return optimizer

    def parameter_groups(self) -> Iterable[Any]:
        """Return the parameters, or groups of them as an optimizer takes them, with `lr_factor` for the rate."""
        return self.parameters()

    def configure_callbacks(self) -> list[Callback]:
        """Undo what `setup` changed for an earlier fit; Lightning calls this before it checks the module."""
        vars(self).pop("training_step", None)  # a fit that failed was not torn down
        if self._switched_to_manual and self.trainer.state.fn == TrainerFn.FITTING:
            self._switched_to_manual = False
            self.automatic_optimization = True
        return []

    def setup(self, stage: str) -> None:
        if stage != "fit":
            return
        if self.trainer.current_epoch == 0:
            self.n_optimizer_steps = 0  # a checkpoint is loaded after `setup`
        if self.batches_per_step == 1:
            return
        is_dev_run = self.trainer.fast_dev_run and self.batches_per_step is None  # type: ignore[attr-defined]
        self._max_batches = DEV_RUN_BATCHES_PER_STEP if is_dev_run else self.batches_per_step
        need = need_for_single_batches(self, self.trainer, base=MultiBatchModule, optimizer=self.optimizer_factory)
        if need is None:
            self._switched_to_manual = True  # until the next fit, because `trainer.global_step` depends on it
            self.automatic_optimization = False
            vars(self)["training_step"] = self._train_on_batches  # Lightning looks at the name of its argument
        elif self.batches_per_step is not None:
            raise ConfigError(
                f"model.batches_per_step is {self.batches_per_step}, but {need} needs single batches:"
                " set model.batches_per_step to 1, or to null, which uses several batches only where that is possible."
            )

    def teardown(self, stage: str) -> None:
        vars(self).pop("training_step", None)

    def on_train_start(self) -> None:
        if self._step_counter is not None:
            self._step_counter.remove()
        self._step_counter = self.trainer.optimizers[0].register_step_post_hook(self._count_step)
        self.schedule_in_use = choose_schedule(self.trainer, self.schedule)
        factors = {"lr": SCHEDULES[self.schedule_in_use], "weight_decay": self._weight_decay_factor}
        self._factors = {name: factor for name, factor in factors.items() if factor is not None}
        n_steps = self.trainer.estimated_stepping_batches
        self._n_planned_steps = int(n_steps) if 0 < n_steps < math.inf else 0

    def _count_step(self, *_: Any) -> None:
        self.n_optimizer_steps += 1

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["global_step"] = self.n_optimizer_steps  # Lightning resumes from counters of its own

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.n_optimizer_steps = checkpoint["global_step"]

    def follow_schedules(self, done: float) -> None:
        """Set what depends on the share of the training that is done: learning rate and weight decay."""
        for name, factor in self._factors.items():
            value = factor(done)
            for optimizer in self.trainer.optimizers:
                for group in optimizer.param_groups:
                    group[name] = value * group.setdefault(f"initial_{name}", group[name])

    def _begin_batch(self) -> None:
        if self._n_planned_steps:
            self.follow_schedules(self.n_optimizer_steps / self._n_planned_steps)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        if gradient_scaler(self.trainer) is not None:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            # Lightning refuses fused optimizers with mixed precision; without a scaler there is nothing to unscale.
            algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
            Precision.clip_gradients(self.trainer.precision_plugin, optimizer, gradient_clip_val, algorithm)

    def on_train_epoch_start(self) -> None:
        self._losses, self._rows = [], []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self._begin_batch()
        loss = self.compute_loss(batch)
        self._record_loss(loss, n_rows=len(batch[1]))
        if self.trainer.is_last_batch:
            self._log_loss()
        return loss

    def _train_on_batches(self, dataloader_iter: Any) -> None:
        trainer = self.trainer
        [optimizer] = trainer.optimizers
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        lightning_optimizer = self.optimizers()
        assert isinstance(lightning_optimizer, LightningOptimizer)
        step: Callable[[], Any] = lightning_optimizer.step  # Lightning counts it, and saves checkpoints by that count
        deadline = time.monotonic() + SECONDS_PER_STEP
        for n_batches, (batch, _, _) in enumerate(dataloader_iter, start=1):
            batch = trainer.precision_plugin.convert_input(batch)
            if batch[0].device != self.device:
                batch = trainer.strategy.batch_to_device(batch)
            self._begin_batch()
            loss = self.compute_loss(batch)
            for parameter in parameters:
                parameter.grad = None  # `optimizer.zero_grad()` takes ten times as long
            loss.backward()  # type: ignore[no-untyped-call]
            self.configure_gradient_clipping(optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm)
            step()
            step = optimizer.step  # Lightning's wrapper takes a fifth of the time of a small network's step
            self._record_loss(loss, n_rows=len(batch[1]))
            if n_batches == self._max_batches or time.monotonic() > deadline:
                break
        if dataloader_iter.done:
            self._log_loss()

    def on_train_epoch_end(self) -> None:
        self._log_loss()  # for an epoch that ended early

    def _record_loss(self, loss: Tensor, *, n_rows: int) -> None:
        self._losses.append(loss.detach())  # a tensor: `.item()` would make the CPU wait for the GPU
        self._rows.append(n_rows)

    def _log_loss(self) -> None:
        if not self._losses:
            return
        losses = torch.stack(self._losses).float()  # half precision can't hold a sum over many rows
        n_rows = torch.tensor(self._rows, dtype=losses.dtype, device=losses.device)
        mean = (losses * n_rows).sum() / n_rows.sum()
        self.log("train/loss", mean, on_step=False, on_epoch=True, batch_size=1)
        self._losses, self._rows = [], []
