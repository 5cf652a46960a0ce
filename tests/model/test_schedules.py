"""Learning rates over a training: those of PyTorch, in both kinds of step, in a refit and after a break."""

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
from tests.model.modules import settings

N_BATCHES = 5


class Rates(MLPModule):
    """Keeps the rate that each step was made with."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rates: list[float] = []

    def _keep_loss(self, *args: Any, **kwargs: Any) -> None:
        super()._keep_loss(*args, **kwargs)
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])


def model(schedule: str, *, batches_per_step: int | None = None, kind: type[MLPModule] = MLPModule) -> MLPModule:
    torch.manual_seed(0)
    return kind(**settings(schedule=schedule, batches_per_step=batches_per_step, hidden_size=4, dropout_rate=0.2))


def data() -> TensorBatches:
    x = torch.randn(47, 2, generator=torch.Generator().manual_seed(0))
    return TensorBatches(x, x.argmax(dim=1), batch_size=10, shuffle_seed=3)


def fit(
    trained: MLPModule, folder: Path, quiet: dict[str, Any], *, epochs: int, stop: int = 99, **more: Any
) -> L.Trainer:
    trainer = L.Trainer(**quiet, max_epochs=epochs, logger=False, default_root_dir=folder, callbacks=[StopAfter(stop)])
    torch.manual_seed(1)
    trainer.fit(trained, data(), data(), **more)
    return trainer


class StopAfter(L.Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epoch


def weights(trained: MLPModule) -> list[Any]:
    return [tensor.tolist() for tensor in trained.state_dict().values()]


def of_torch(schedule: str, n_steps: int) -> list[float]:
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


@pytest.mark.parametrize(("schedule", "tolerance"), [("cosine", 1e-6), ("one_cycle", 0.02)])  # it counts from step -1
def test_the_rates_are_those_of_pytorch(schedule: str, tolerance: float) -> None:
    factor = SCHEDULES[schedule]
    assert factor is not None
    assert [factor(step / 200) for step in range(200)] == pytest.approx(of_torch(schedule, 200), abs=tolerance)


def test_one_cycle_goes_up_and_down() -> None:
    factor = SCHEDULES["one_cycle"]
    assert factor is not None
    assert [factor(done) for done in (0, 0.3, 1)] == pytest.approx([1 / 25, 1, 4e-6])


@pytest.mark.parametrize("batches_per_step", [1, 2, None])
@pytest.mark.parametrize("epochs", [2, 4])  # a refit is shorter, and goes through all of it
@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "none"])
def test_each_step_has_its_rate(
    schedule: str, epochs: int, batches_per_step: int | None, tmp_path: Path, quiet_trainer: dict[str, Any]
) -> None:
    trained = model(schedule, batches_per_step=batches_per_step, kind=Rates if batches_per_step == 1 else MLPModule)
    usual = model(schedule, batches_per_step=1, kind=Rates)
    for each in (trained, usual):
        fit(each, tmp_path, quiet_trainer, epochs=epochs)
    factor = SCHEDULES[schedule] or (lambda _: 1.0)
    n_steps = epochs * N_BATCHES
    assert isinstance(usual, Rates)
    before_step = [0.05 * factor(step / n_steps) for step in range(n_steps)]
    assert usual.rates == pytest.approx(before_step)
    assert weights(trained) == weights(usual)


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize(("before", "after"), [(None, None), (1, None), (None, 1)])
def test_a_fit_that_goes_on_follows_the_schedule(
    before: int | None, after: int | None, tmp_path: Path, quiet_trainer: dict[str, Any]
) -> None:
    first = fit(model("one_cycle", batches_per_step=before), tmp_path, quiet_trainer, epochs=4, stop=2)
    first.save_checkpoint(tmp_path / "last.ckpt")
    trained = model("one_cycle", batches_per_step=after)
    again = fit(trained, tmp_path, quiet_trainer, epochs=4, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    factor = SCHEDULES["one_cycle"]
    assert factor is not None
    [group] = again.optimizers[0].param_groups
    assert group["initial_lr"] == 0.05
    assert group["lr"] == pytest.approx(0.05 * factor((4 * N_BATCHES - 1) / (4 * N_BATCHES)))


def test_a_training_without_an_end_can_have_no_schedule(tmp_path: Path, quiet_trainer: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"model.schedule is cosine, .* set trainer.max_epochs"):
        fit(model("cosine"), tmp_path, quiet_trainer, epochs=-1, stop=1)


def test_an_unknown_schedule_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"model.schedule is 'linear'.*none, one_cycle, cosine"):
        model("linear")
