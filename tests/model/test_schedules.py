"""Learning rate schedules: the rates of PyTorch, with one or several batches per step, and after a resume."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as L
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from lightsweep.data.batches import TensorBatches
from lightsweep.errors import ConfigError
from lightsweep.model.module import MLPModule
from lightsweep.model.schedules import SCHEDULES
from tests.model.modules import StopAfter, settings

N_BATCHES = 5
LR = 0.05  # of `settings`
Fit = Callable[..., L.Trainer]


class Rates(MLPModule):
    """Records the learning rate of each step."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rates: list[float] = []

    def _record_loss(self, *args: Any, **kwargs: Any) -> None:
        super()._record_loss(*args, **kwargs)
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])


def model(schedule: str | None, *, batches_per_step: int | None = None, kind: type[MLPModule] = MLPModule) -> MLPModule:
    torch.manual_seed(0)
    return kind(**settings(schedule=schedule, batches_per_step=batches_per_step, hidden_size=4, dropout_rate=0.2))


def data() -> TensorBatches:
    x = torch.randn(47, 2, generator=torch.Generator().manual_seed(0))
    return TensorBatches(x, x.argmax(dim=1), batch_size=10, shuffle_seed=3)


@pytest.fixture
def fit(tmp_path: Path, quiet_trainer: dict[str, Any]) -> Fit:
    def train(trained: MLPModule, *, epochs: int, stop: int = 99, loader: Any = data, **more: Any) -> L.Trainer:
        options = {**quiet_trainer, "max_epochs": epochs, "logger": False, "default_root_dir": tmp_path}
        trainer = L.Trainer(**options, callbacks=[StopAfter(stop)])
        torch.manual_seed(1)
        trainer.fit(trained, loader(), data(), **more)
        return trainer

    return train


def factor_of(schedule: str) -> Callable[[float], float]:
    return SCHEDULES[schedule] or (lambda _: 1.0)


def rates_of_torch(schedule: str, n_steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler: Any = CosineAnnealingLR(optimizer, T_max=n_steps)
    if schedule == "one_cycle":
        scheduler = OneCycleLR(optimizer, max_lr=1.0, total_steps=n_steps, cycle_momentum=False)
    rates = []
    for _ in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(("schedule", "tolerance"), [("cosine", 1e-6), ("one_cycle", 0.02)])  # its steps are off by one
def test_the_rates_are_those_of_pytorch(schedule: str, tolerance: float) -> None:
    assert [factor_of(schedule)(step / 200) for step in range(200)] == pytest.approx(
        rates_of_torch(schedule, 200), abs=tolerance
    )


def test_one_cycle_rises_and_falls() -> None:
    assert [factor_of("one_cycle")(done) for done in (0, 0.3, 1)] == pytest.approx([1 / 25, 1, 4e-6])


@pytest.mark.parametrize("batches_per_step", [1, 2, None])
@pytest.mark.parametrize("epochs", [2, 4])  # a refit may be shorter, and runs through the whole schedule
@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "none"])
def test_each_step_has_the_rate_of_the_schedule(
    schedule: str, epochs: int, batches_per_step: int | None, fit: Fit
) -> None:
    trained = model(schedule, batches_per_step=batches_per_step, kind=Rates)
    fit(trained, epochs=epochs)
    n_steps = epochs * N_BATCHES
    assert isinstance(trained, Rates)
    assert trained.rates == pytest.approx([LR * factor_of(schedule)(step / n_steps) for step in range(n_steps)])


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize(("before", "after"), [(None, None), (1, None), (None, 1)])
def test_a_resumed_fit_continues_the_schedule(before: int | None, after: int | None, fit: Fit, tmp_path: Path) -> None:
    fit(model("one_cycle", batches_per_step=before), epochs=4, stop=2).save_checkpoint(tmp_path / "last.ckpt")
    trained = model("one_cycle", batches_per_step=after)
    resumed = fit(trained, epochs=4, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    [group] = resumed.optimizers[0].param_groups
    assert group["initial_lr"] == LR
    assert group["lr"] == pytest.approx(LR * factor_of("one_cycle")((4 * N_BATCHES - 1) / (4 * N_BATCHES)))


class WithoutLength:
    """Batches without a length."""

    def __iter__(self) -> Iterator[Any]:
        return iter(data())


class OwnSchedule(MLPModule):
    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)]


@pytest.mark.parametrize(
    ("kind", "epochs", "loader", "reason"),
    [
        (MLPModule, -1, data, "the number of training steps is unknown"),
        (MLPModule, 2, WithoutLength, "the number of training steps is unknown"),
        (OwnSchedule, 2, data, "the module has a learning rate scheduler of its own"),
    ],
)
def test_if_no_schedule_is_possible_null_means_none_and_a_requested_one_is_an_error(
    kind: type[MLPModule], epochs: int, loader: Any, reason: str, fit: Fit
) -> None:
    with pytest.raises(ConfigError, match=f"model.schedule is cosine, but .*{reason}.*model.schedule=none"):
        fit(model("cosine", kind=kind), epochs=epochs, stop=1, loader=loader)
    trained = model(None, kind=kind)
    fit(trained, epochs=epochs, stop=1, loader=loader)
    assert trained.schedule_in_use == "none"


def test_null_means_one_cycle(fit: Fit) -> None:
    trained = model(None)
    fit(trained, epochs=2)
    assert trained.schedule_in_use == "one_cycle"


def test_an_unknown_schedule_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"model.schedule is 'linear'.*none, one_cycle, cosine"):
        model("linear")
