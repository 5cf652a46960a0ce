"""Several mini-batches per Lightning step: their number affects only the speed."""

import contextlib
import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import (
    GradientAccumulationScheduler,
    LambdaCallback,
    LearningRateMonitor,
    ModelCheckpoint,
    StochasticWeightAveraging,
    Timer,
)
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lightsweep.callbacks.checkpoint import BestCheckpoint
from lightsweep.callbacks.pruning import PruningCallback
from lightsweep.data.batches import TensorBatches
from lightsweep.errors import ConfigError
from lightsweep.logger.csv import CSVLogger
from lightsweep.model.module import MLPModule
from lightsweep.model.multi_batch import Batch
from tests.command import rows_of
from tests.model.modules import StopAfter, settings

ADAM = partial(torch.optim.Adam, lr=0.01, fused=True)
N_BATCHES = 9
Fit = Callable[..., L.Trainer]
MONITOR: dict[str, Any] = {"monitor": "val/acc", "direction": "maximize"}


def classifier(kind: type[MLPModule] = MLPModule, **changes: Any) -> MLPModule:
    torch.manual_seed(0)
    return kind(**settings(**{"d_in": 4, "hidden_size": 8, "dropout_rate": 0.3, "optimizer": ADAM, **changes}))


def batches(n: int, *, shuffle_seed: int | None = None) -> TensorBatches:
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(n, 4, generator=generator)
    return TensorBatches(x, x[:, :3].argmax(dim=1), batch_size=10, shuffle_seed=shuffle_seed)


@pytest.fixture
def fit(quiet_trainer: dict[str, Any]) -> Fit:
    """Train with the callbacks and the logger of the default config, and with more."""

    def train(folder: Path, model: MLPModule, *callbacks: L.Callback, **changes: Any) -> L.Trainer:
        best = BestCheckpoint(dirpath=str(folder), filename="best", **MONITOR)
        logger = CSVLogger(save_dir=str(folder), name="csv", version="")
        options = {"enable_checkpointing": True, "max_epochs": 3, "default_root_dir": folder, "logger": logger}
        callbacks = (best, PruningCallback(**MONITOR), *callbacks)
        trainer = L.Trainer(**{**quiet_trainer, **options, **changes}, callbacks=list(callbacks))
        torch.manual_seed(1)
        trainer.fit(model, batches(85, shuffle_seed=5), batches(40))
        return trainer

    return train


def weights_of(model: MLPModule) -> list[Any]:
    return [weights.tolist() for weights in model.state_dict().values()]


def results_of(trainer: L.Trainer, model: MLPModule, folder: Path) -> dict[str, Any]:
    """Return all that a training gives; of the logs without `step`, which counts Lightning's steps."""
    rows = rows_of(folder / "csv/metrics.csv")
    best = torch.load(folder / "best.ckpt", weights_only=True)
    return {
        "weights": weights_of(model),
        "metrics": {name: value.item() for name, value in trainer.callback_metrics.items()},
        "rows": [{name: value for name, value in row.items() if name != "step"} for row in rows],
        "step": model.n_optimizer_steps,
        "best": (best["epoch"], best["global_step"], {name: w.tolist() for name, w in best["state_dict"].items()}),
    }


@pytest.mark.parametrize(
    ("optimizer", "changes"),
    [
        (ADAM, {}),
        (partial(torch.optim.RMSprop, lr=0.01, foreach=True), {}),
        (partial(torch.optim.SGD, lr=0.1, momentum=0.9, fused=True), {}),
        (ADAM, {"gradient_clip_val": 0.01}),
        (ADAM, {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"}),
        (ADAM, {"precision": "bf16-mixed"}),
        (ADAM, {"precision": "bf16-mixed", "gradient_clip_val": 0.01}),
        (ADAM, {"precision": "64-true"}),
    ],
    ids=str,
)
def test_results_do_not_depend_on_batches_per_step(
    optimizer: Any, changes: dict[str, Any], fit: Fit, tmp_path: Path
) -> None:
    def results(batches_per_step: int | None) -> dict[str, Any]:
        folder = tmp_path / str(batches_per_step)
        model = classifier(optimizer=optimizer, batches_per_step=batches_per_step)
        return results_of(fit(folder, model, **changes), model, folder)

    single = results(1)
    assert single["step"] == 3 * N_BATCHES
    for batches_per_step in (2, N_BATCHES, 1000, None):
        assert results(batches_per_step) == single


def test_gradients_are_clipped(fit: Fit, tmp_path: Path) -> None:
    clipped, unclipped = classifier(), classifier()
    fit(tmp_path / "clipped", clipped, gradient_clip_val=0.01)
    fit(tmp_path / "unclipped", unclipped)
    assert weights_of(clipped) != weights_of(unclipped)


class StepCounter(L.Callback):
    needs_every_batch = False  # so that it counts steps of several batches

    def __init__(self) -> None:
        self.n_steps = 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.n_steps += 1


class GradientHook(L.Callback):
    def on_before_optimizer_step(self, *_: Any) -> None: ...


class CustomCheckpoint(ModelCheckpoint):
    def on_train_batch_end(self, *_: Any) -> None: ...


class CustomPruning(PruningCallback):
    def on_before_backward(self, *_: Any) -> None: ...


class CustomStep(MLPModule):
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return 2 * super().training_step(batch, batch_idx)


class CustomScheduler(MLPModule):
    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@pytest.mark.parametrize(("batches_per_step", "n_steps"), [(None, 1), (1, 9), (2, 5), (4, 3), (100, 1)])
def test_a_step_takes_batches_per_step(batches_per_step: int | None, n_steps: int, fit: Fit, tmp_path: Path) -> None:
    counter = StepCounter()
    fit(tmp_path, classifier(batches_per_step=batches_per_step), counter, max_epochs=1)
    assert counter.n_steps == n_steps


def test_a_step_that_takes_too_long_ends_after_its_batch(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightsweep.model.multi_batch.SECONDS_PER_STEP", 1e-9)
    counter = StepCounter()
    model = classifier()
    fit(tmp_path, model, counter, max_epochs=1)
    assert counter.n_steps == model.n_optimizer_steps == N_BATCHES


@pytest.mark.parametrize(
    ("kind", "changes", "callbacks", "need"),
    [
        (MLPModule, {"accumulate_grad_batches": 2}, [], "trainer.accumulate_grad_batches=2"),
        (MLPModule, {"limit_train_batches": 5}, [], "trainer.limit_train_batches=5"),
        (MLPModule, {"val_check_interval": 3}, [], "trainer.val_check_interval=3"),
        (MLPModule, {"min_steps": 5}, [], "trainer.min_steps=5"),
        (MLPModule, {}, [LambdaCallback(on_train_batch_end=lambda *_: None)], "LambdaCallback.on_train_batch_end"),
        (MLPModule, {}, [CustomCheckpoint()], "CustomCheckpoint.on_train_batch_end"),
        (MLPModule, {}, [CustomPruning(**MONITOR)], "CustomPruning.on_before_backward"),
        (MLPModule, {}, [StochasticWeightAveraging(0.1)], "StochasticWeightAveraging."),
        (MLPModule, {}, [GradientAccumulationScheduler({0: 2})], "GradientAccumulationScheduler."),
        (MLPModule, {"max_steps": 12}, [], "trainer.max_steps=12"),
        (MLPModule, {}, [GradientHook()], "GradientHook.on_before_optimizer_step"),
        (MLPModule, {}, [LearningRateMonitor()], "LearningRateMonitor.on_train_batch_start"),
        (MLPModule, {}, [Timer(duration={"hours": 1})], "Timer.on_train_batch_end"),
        (MLPModule, {}, [ModelCheckpoint(every_n_train_steps=2)], "ModelCheckpoint.on_train_batch_end"),
        (CustomStep, {}, [], "CustomStep.training_step"),
        (CustomScheduler, {}, [], "CustomScheduler.configure_optimizers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_needs_single_batches_gets_them_with_null_and_is_an_error_with_a_number(
    kind: type[MLPModule], changes: dict[str, Any], callbacks: list[L.Callback], need: str, fit: Fit, tmp_path: Path
) -> None:
    counter = StepCounter()
    fit(tmp_path / "null", classifier(kind), counter, *copy.deepcopy(callbacks), max_epochs=1, **changes)
    assert counter.n_steps >= 5
    with pytest.raises(ConfigError, match=f"model.batches_per_step is 4, but {need}"):
        fit(tmp_path / "4", classifier(kind, batches_per_step=4), *callbacks, max_epochs=1, **changes)


def test_lbfgs_needs_single_batches(fit: Fit, tmp_path: Path) -> None:
    lbfgs, counter = partial(torch.optim.LBFGS, max_iter=2), StepCounter()
    fit(tmp_path / "null", classifier(optimizer=lbfgs), counter, max_epochs=1)
    assert counter.n_steps == N_BATCHES
    with pytest.raises(ConfigError, match=r"is 4, but optimizer._target_=torch.optim.LBFGS needs single batches"):
        fit(tmp_path / "4", classifier(optimizer=lbfgs, batches_per_step=4), max_epochs=1)


def test_a_scheduler_with_interval_step_takes_each_step(fit: Fit, tmp_path: Path) -> None:
    model = classifier(CustomScheduler)
    fit(tmp_path, model, max_epochs=1)
    assert model.lr_schedulers().get_last_lr() == pytest.approx([0.01 * 0.5**N_BATCHES])  # type: ignore[union-attr]


ROWS = batches(85)
DATASET = TensorDataset(ROWS.x, ROWS.y)


class Stream(torch.utils.data.IterableDataset[Batch]):
    def __iter__(self) -> Any:
        return iter(DATASET)


@pytest.mark.parametrize("loader", [ROWS, DataLoader(DATASET, batch_size=10), DataLoader(Stream(), batch_size=10)])
def test_any_loader_works_with_or_without_a_length(loader: Any, quiet_trainer: dict[str, Any], tmp_path: Path) -> None:
    def loss_and_steps(batches_per_step: int | None) -> tuple[float, int]:
        model = classifier(batches_per_step=batches_per_step)
        trainer = L.Trainer(**quiet_trainer, max_epochs=2, logger=False, default_root_dir=tmp_path)
        torch.manual_seed(1)
        trainer.fit(model, loader, batches(40))
        return trainer.callback_metrics["train/loss"].item(), model.n_optimizer_steps

    single = loss_and_steps(1)
    assert single[1] == 2 * N_BATCHES
    assert [loss_and_steps(number) for number in (2, 3, N_BATCHES, None)] == [single] * 4


class Fails(L.Callback):
    def on_validation_end(self, *_: Any) -> None:
        raise ValueError("failed on purpose")


@pytest.mark.filterwarnings("ignore:Found .* in eval mode")
@pytest.mark.parametrize("fails", [False, True])
def test_a_model_can_be_fitted_again_with_single_batches(fails: bool, fit: Fit, tmp_path: Path) -> None:
    model = classifier()
    with pytest.raises(ValueError, match="on purpose") if fails else contextlib.nullcontext():
        fit(tmp_path / "first", model, *[Fails()] * fails)
    counter = StepCounter()
    fit(tmp_path / "second", model, counter, GradientHook(), max_epochs=1, gradient_clip_val=1.0)
    assert counter.n_steps == N_BATCHES


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize("numbers", [(1, None, 1), (None, 1, None), (2, 3, 1)], ids=str)
def test_a_fit_resumes_with_another_number_of_batches_per_step(
    numbers: tuple[int | None, ...], tmp_path: Path, quiet_trainer: dict[str, Any]
) -> None:
    last = tmp_path / "last.ckpt"

    def fit_until(n_epochs: int, batches_per_step: int | None, **resumed: Any) -> MLPModule:
        model = classifier(dropout_rate=0.0, batches_per_step=batches_per_step)
        options = {**quiet_trainer, "logger": False, "max_epochs": 4, "default_root_dir": tmp_path}
        trainer = L.Trainer(**options, callbacks=[StopAfter(n_epochs)])
        trainer.fit(model, batches(85, shuffle_seed=5), batches(40), **resumed)
        trainer.save_checkpoint(last)
        assert torch.load(last, weights_only=True)["global_step"] == model.n_optimizer_steps == n_epochs * N_BATCHES
        return model

    expected = weights_of(fit_until(4, 1))
    fit_until(1, numbers[0])
    fit_until(3, numbers[1], ckpt_path=last, weights_only=True)
    assert weights_of(fit_until(4, numbers[2], ckpt_path=last, weights_only=True)) == expected


def test_the_mean_loss_of_many_rows_fits_half_precision(tmp_path: Path, quiet_trainer: dict[str, Any]) -> None:
    x = torch.randn(120_000, 4)  # more than the largest number of half precision
    rows = TensorBatches(x, x[:, :3].argmax(dim=1), batch_size=2000, shuffle_seed=None)
    trainer = L.Trainer(**quiet_trainer, precision="16-true", max_epochs=1, logger=False, default_root_dir=tmp_path)
    trainer.fit(classifier(optimizer=partial(torch.optim.SGD, lr=0.0)), rows, batches(40))
    assert 0.5 < trainer.callback_metrics["train/loss"].item() < 2.0


def test_metrics_are_reset_even_if_a_subclass_overrides_the_hook_that_resets_them(fit: Fit, tmp_path: Path) -> None:
    class Custom(MLPModule):
        def on_validation_epoch_start(self) -> None: ...

    expected = fit(tmp_path / "1", classifier()).callback_metrics
    assert fit(tmp_path / "2", classifier(Custom)).callback_metrics == expected
