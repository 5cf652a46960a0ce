"""Several mini-batches per Lightning step: nothing but the speed depends on how many."""

import contextlib
import copy
import csv
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
from lightsweep.model.training_steps import Batch
from tests.model.modules import settings

ADAM = partial(torch.optim.Adam, lr=0.01, fused=True)
LBFGS = partial(torch.optim.LBFGS, max_iter=2)
N_BATCHES = 9
QUIET = {"accelerator": "cpu", "num_sanity_val_steps": 0, "enable_progress_bar": False, "enable_model_summary": False}
JUDGED: dict[str, Any] = {"monitor": "val/acc", "direction": "maximize"}


def nothing(*_: Any) -> None: ...


@pytest.fixture(autouse=True)
def _without_remarks(quiet_trainer: dict[str, Any]) -> None:
    """Lightning's remarks would be errors here."""


def classifier(kind: type[MLPModule] = MLPModule, **changes: Any) -> MLPModule:
    torch.manual_seed(0)
    return kind(**settings(**{"d_in": 4, "hidden_size": 8, "dropout_rate": 0.3, "optimizer": ADAM, **changes}))


def batches(n: int, *, shuffle_seed: int | None = None) -> TensorBatches:
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(n, 4, generator=generator)
    return TensorBatches(x, x[:, :3].argmax(dim=1), batch_size=10, shuffle_seed=shuffle_seed)


def fit(folder: Path, model: MLPModule, *callbacks: L.Callback, **changes: Any) -> L.Trainer:
    trainer = L.Trainer(
        **{
            **QUIET,
            "max_epochs": 3,
            "log_every_n_steps": 1,
            "default_root_dir": folder,
            "logger": CSVLogger(save_dir=str(folder), name="csv", version=""),
            "callbacks": [
                BestCheckpoint(dirpath=str(folder), filename="best", **JUDGED),
                PruningCallback(**JUDGED),
                *callbacks,
            ],
            **changes,
        }
    )
    torch.manual_seed(1)
    trainer.fit(model, batches(85, shuffle_seed=5), batches(40))
    return trainer


def without_step(row: dict[str, str]) -> dict[str, str]:
    """It counts Lightning's steps."""
    return {name: cell for name, cell in row.items() if name != "step"}


def trace(folder: Path, **changes: Any) -> dict[str, Any]:
    """All that a training leaves."""
    settings = {name: changes.pop(name) for name in ("optimizer", "batches_per_step", "schedule") if name in changes}
    model = classifier(**settings)
    trainer = fit(folder, model, **changes)
    best = torch.load(folder / "best.ckpt", weights_only=True)
    return {
        "weights": [weights.tolist() for weights in model.state_dict().values()],
        "metrics": {name: value.item() for name, value in trainer.callback_metrics.items()},
        "table": [without_step(row) for row in csv.DictReader((folder / "csv/metrics.csv").read_text().splitlines())],
        "step": model.n_optimizer_steps,
        "best": (best["epoch"], best["global_step"], {name: w.tolist() for name, w in best["state_dict"].items()}),
    }


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": partial(torch.optim.RMSprop, lr=0.01, foreach=True)},
        {"optimizer": partial(torch.optim.SGD, lr=0.1, momentum=0.9, fused=True)},
        {"gradient_clip_val": 0.01},
        {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
        {"precision": "bf16-mixed"},
        {"precision": "bf16-mixed", "gradient_clip_val": 0.01},
        {"precision": "64-true"},
    ],
    ids=str,
)
def test_the_number_of_batches_per_step_changes_nothing(changes: dict[str, Any], tmp_path: Path) -> None:
    usual = trace(tmp_path / "1", batches_per_step=1, **changes)
    assert usual["step"] == 3 * N_BATCHES
    for number in (2, N_BATCHES, 1000, None):
        assert trace(tmp_path / str(number), batches_per_step=number, **changes) == usual


def test_clipping_clips(tmp_path: Path) -> None:
    clipped = trace(tmp_path / "clipped", gradient_clip_val=0.01)
    assert clipped["weights"] != trace(tmp_path / "not")["weights"]


class CountsSteps(L.Callback):
    looks_at_batches = False  # or there would be nothing to count

    def __init__(self) -> None:
        self.n_steps = 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.n_steps += 1


class LooksAtGradients(L.Callback):
    def on_before_optimizer_step(self, *_: Any) -> None: ...


class OwnCheckpoint(ModelCheckpoint):
    def on_train_batch_end(self, *_: Any) -> None: ...


class OwnPruning(PruningCallback):
    def on_before_backward(self, *_: Any) -> None: ...


class OwnStep(MLPModule):
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return 2 * super().training_step(batch, batch_idx)


class OwnSchedule(MLPModule):
    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@pytest.mark.parametrize(("number", "n_steps"), [(None, 1), (1, 9), (2, 5), (4, 3), (100, 1)])
def test_so_many_batches_are_one_step(number: int | None, n_steps: int, tmp_path: Path) -> None:
    counter = CountsSteps()
    fit(tmp_path, classifier(batches_per_step=number), counter, max_epochs=1)
    assert counter.n_steps == n_steps


def test_a_slow_step_ends_with_its_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightsweep.model.training_steps.SECONDS_PER_STEP", 1e-9)
    counter = CountsSteps()
    model = classifier()
    fit(tmp_path, model, counter, max_epochs=1)
    assert counter.n_steps == model.n_optimizer_steps == N_BATCHES


@pytest.mark.parametrize(
    ("kind", "changes", "callbacks", "obstacle"),
    [
        (MLPModule, {"accumulate_grad_batches": 2}, [], "trainer.accumulate_grad_batches=2"),
        (MLPModule, {"limit_train_batches": 5}, [], "trainer.limit_train_batches=5"),
        (MLPModule, {"val_check_interval": 3}, [], "trainer.val_check_interval=3"),
        (MLPModule, {"min_steps": 5}, [], "trainer.min_steps=5"),
        (MLPModule, {"optimizer": LBFGS}, [], "optimizer._target_=torch.optim.LBFGS"),
        (MLPModule, {}, [LambdaCallback(on_train_batch_end=nothing)], "LambdaCallback.on_train_batch_end"),
        (MLPModule, {}, [OwnCheckpoint()], "OwnCheckpoint.on_train_batch_end"),
        (MLPModule, {}, [OwnPruning(**JUDGED)], "OwnPruning.on_before_backward"),
        (MLPModule, {}, [StochasticWeightAveraging(0.1)], "StochasticWeightAveraging."),
        (MLPModule, {}, [GradientAccumulationScheduler({0: 2})], "GradientAccumulationScheduler."),
        (MLPModule, {"max_steps": 12}, [], "trainer.max_steps=12"),
        (MLPModule, {}, [LooksAtGradients()], "LooksAtGradients.on_before_optimizer_step"),
        (MLPModule, {}, [LearningRateMonitor()], "LearningRateMonitor.on_train_batch_start"),
        (MLPModule, {}, [Timer(duration={"hours": 1})], "Timer.on_train_batch_end"),
        (MLPModule, {}, [ModelCheckpoint(every_n_train_steps=2)], "ModelCheckpoint.on_train_batch_end"),
        (OwnStep, {}, [], "OwnStep.training_step"),
        (OwnSchedule, {}, [], "OwnSchedule.configure_optimizers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_needs_single_steps_has_them_and_is_named_where_others_are_asked_for(
    kind: type[MLPModule], changes: dict[str, Any], callbacks: list[L.Callback], obstacle: str, tmp_path: Path
) -> None:
    settings = {"optimizer": changes.pop("optimizer")} if "optimizer" in (changes := dict(changes)) else {}
    counter = CountsSteps()
    model = classifier(kind, **settings)
    fit(tmp_path / "null", model, counter, *copy.deepcopy(callbacks), max_epochs=1, **changes)
    assert counter.n_steps >= 5
    with pytest.raises(ConfigError, match=f"model.batches_per_step is 4, but {obstacle}"):
        fit(tmp_path / "4", classifier(kind, batches_per_step=4, **settings), *callbacks, max_epochs=1, **changes)


def test_a_schedule_by_the_step_runs_as_lightning_runs_it(tmp_path: Path) -> None:
    model = classifier(OwnSchedule)
    fit(tmp_path, model, max_epochs=1)
    assert model.lr_schedulers().get_last_lr() == pytest.approx([0.01 * 0.5**N_BATCHES])  # type: ignore[union-attr]


def test_a_loader_without_a_length_and_one_of_torch_do_as_well(tmp_path: Path, quiet_trainer: dict[str, Any]) -> None:
    rows = batches(85)

    class Stream(torch.utils.data.IterableDataset[Batch]):
        def __iter__(self) -> Any:
            return iter(TensorDataset(rows.x, rows.y))

    def losses(loader: Any, *, number: int | None) -> tuple[float, int]:
        model = classifier(batches_per_step=number)
        trainer = L.Trainer(**quiet_trainer, max_epochs=2, logger=False, default_root_dir=tmp_path)
        torch.manual_seed(1)
        trainer.fit(model, loader, batches(40))
        return trainer.callback_metrics["train/loss"].item(), model.n_optimizer_steps

    for loader in (rows, DataLoader(TensorDataset(rows.x, rows.y), batch_size=10), DataLoader(Stream(), batch_size=10)):
        usual = losses(loader, number=1)
        assert usual[1] == 2 * N_BATCHES
        for number in (2, 3, N_BATCHES, None):
            assert losses(loader, number=number) == usual


class Fails(L.Callback):
    def on_validation_end(self, *_: Any) -> None:
        raise ValueError("not today")


@pytest.mark.filterwarnings("ignore:Found .* in eval mode")
@pytest.mark.parametrize("fails", [False, True])
def test_a_fit_leaves_nothing_to_the_next_that_needs_single_steps(fails: bool, tmp_path: Path) -> None:
    model = classifier()
    with pytest.raises(ValueError, match="not today") if fails else contextlib.nullcontext():
        fit(tmp_path / "first", model, *[Fails()] * fails)
    counter = CountsSteps()
    fit(tmp_path / "second", model, counter, LooksAtGradients(), max_epochs=1, gradient_clip_val=1.0)
    assert counter.n_steps == N_BATCHES


def rates_of_steps(folder: Path, model: MLPModule, **changes: Any) -> tuple[list[float], list[list[float]]]:
    """The learning rate of each step of a fit, which goes on from `last.ckpt` if that is there, and the weights."""
    rates: list[float] = []

    def configured() -> torch.optim.Optimizer:
        optimizer = ADAM(model.parameters())
        optimizer.register_step_post_hook(lambda *_: rates.append(optimizer.param_groups[0]["lr"]))
        return optimizer

    last = folder / "last.ckpt"
    model.optimizer_of = lambda _: configured()
    silent = {**QUIET, "logger": False, "enable_checkpointing": False}
    trainer = L.Trainer(**silent, max_epochs=4, default_root_dir=folder, **changes)
    going_on = {"ckpt_path": last, "weights_only": True} if last.exists() else {}
    trainer.fit(model, batches(85, shuffle_seed=5), batches(40), **going_on)
    trainer.save_checkpoint(last)
    return rates, [weights.tolist() for weights in model.state_dict().values()]


class StopsAfter(L.Callback):
    def __init__(self, n_epochs: int) -> None:
        self.n_epochs = n_epochs

    def on_validation_end(self, trainer: L.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.current_epoch + 1 == self.n_epochs


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize("numbers", [(1, None, 1), (None, 1, None), (2, 3, 1)], ids=str)
def test_a_fit_goes_on_from_one_with_another_number(numbers: tuple[int | None, ...], tmp_path: Path) -> None:
    expected = rates_of_steps(tmp_path / "whole", classifier(dropout_rate=0.0, batches_per_step=1))
    rates: list[float] = []
    for n_epochs, number in zip((1, 3, 4), numbers, strict=True):
        model = classifier(dropout_rate=0.0, batches_per_step=number)
        more, weights = rates_of_steps(tmp_path / "parts", model, callbacks=[StopsAfter(n_epochs)])
        rates += more
        saved = torch.load(tmp_path / "parts/last.ckpt", weights_only=True)
        assert model.n_optimizer_steps == saved["global_step"] == n_epochs * N_BATCHES
    assert len(rates) == 4 * N_BATCHES
    assert (rates, weights) == expected


def test_half_precision_holds_the_mean_loss_of_many_rows(tmp_path: Path, quiet_trainer: dict[str, Any]) -> None:
    x = torch.randn(120_000, 4)  # more than a half can count
    rows = TensorBatches(x, x[:, :3].argmax(dim=1), batch_size=2000, shuffle_seed=None)
    trainer = L.Trainer(**quiet_trainer, precision="16-true", max_epochs=1, logger=False, default_root_dir=tmp_path)
    trainer.fit(classifier(optimizer=partial(torch.optim.SGD, lr=0.0)), rows, batches(40))
    assert 0.5 < trainer.callback_metrics["train/loss"].item() < 2.0


def test_a_subclass_with_hooks_of_its_own_does_not_add_up_its_evaluations(tmp_path: Path) -> None:
    class Own(MLPModule):
        def on_validation_epoch_start(self) -> None: ...

    usual, own = classifier(), classifier(Own)
    there = fit(tmp_path / "usual", usual).callback_metrics
    assert fit(tmp_path / "own", own).callback_metrics == there
