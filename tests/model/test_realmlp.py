"""The ingredients of RealMLP, each alone, and the module that has them all."""

import math
from functools import partial
from typing import Any

import pytest
import pytorch_lightning as L
import torch
from torch import Tensor, nn

from lightsweep.data.digits import Digits
from lightsweep.errors import ConfigError
from lightsweep.model.embeddings import PBLD
from lightsweep.model.layers import NTKLinear, ParametricActivation, Scaling, fit_layers
from lightsweep.model.module import MLPModule
from lightsweep.model.realmlp import RealMLPModule
from lightsweep.model.schedules import coslog4, flat_cosine
from lightsweep.task import Task
from tests.model.modules import settings

ALL = {
    "parametrization": "ntk",
    "parametric_activation": True,
    "scaling_layer": True,
    "dropout_schedule": "flat_cosine",
    "weight_decay_schedule": "flat_cosine",
    "decay_biases": False,
    "bias_lr_factor": 0.1,
    "scaling_lr_factor": 6.0,
    "activation_lr_factor": 0.1,
    "embedding_lr_factor": 0.1,
    "number_embedding": "pbld",
    "number_embedding_size": 4,
    "schedule": "coslog4",
}
ADAMW = partial(torch.optim.AdamW, lr=0.04, weight_decay=0.02)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def digits() -> Digits:
    return Digits(batch_size=256, shuffle=True, seed=0, refit=False)


def test_outputs_of_a_fitted_layer_have_deviation_1_and_biases_lie_within_them() -> None:
    layer = NTKLinear(5, 40)
    x = torch.randn(300, 5) * torch.tensor([1.0, 10.0, 100.0, 0.1, 0.0])
    layer.fit(x)
    out = layer(x) - layer.bias
    assert torch.allclose(out.std(dim=0, correction=0), torch.ones(40), atol=1e-4)
    assert (-layer.bias > out.min(dim=0).values).all()
    assert (-layer.bias < out.max(dim=0).values).all()
    layer.fit(torch.ones(10, 5))  # constants have no deviation
    assert layer.weight.isfinite().all()


def test_layers_are_fitted_from_the_first_to_the_last() -> None:
    net = nn.Sequential(NTKLinear(3, 30), nn.ReLU(), NTKLinear(30, 2))
    x = 50 * torch.randn(200, 3)
    fit_layers(net, x)
    assert torch.allclose((net(x) - net[2].bias).std(dim=0, correction=0), torch.ones(2), atol=1e-4)


def test_scaling_and_parametric_activation_change_nothing_at_first() -> None:
    x = torch.randn(6, 4)
    activation = ParametricActivation(nn.ReLU(), 4)
    assert torch.equal(Scaling(4)(x), x)
    assert torch.equal(activation(x), x.relu())
    with torch.no_grad():
        activation.share.fill_(0.25)
    assert torch.allclose(activation(x), x + 0.25 * (x.relu() - x))


def test_pbld_holds_the_number_and_a_map_of_its_cosines() -> None:
    embedding = PBLD(n_numbers=3, n_frequencies=8, scale=0.1, size=4)
    x = torch.randn(7, 3)
    out = embedding(x)
    assert out.shape == (7, 12)
    assert torch.equal(out[:, -3:], x)
    waves = torch.cos(2 * math.pi * embedding.frequencies * x.unsqueeze(2) + embedding.phases)
    assert torch.allclose(out[:, :9], embedding.linear(waves).flatten(1))
    with pytest.raises(ConfigError, match=r"model\.number_embedding_size is 1; for pbld"):
        PBLD(n_numbers=3, n_frequencies=8, scale=0.1, size=1)


@pytest.mark.parametrize("k", range(4))
def test_the_learning_rate_rises_and_falls_four_times(k: int) -> None:
    begin, peak, end = ((2**power - 1) / 15 for power in (k, k + 0.5, k + 1))
    assert [round(coslog4(done), 9) for done in (begin, peak, end)] == [0, 1, 0]


def test_dropout_and_weight_decay_fall_in_the_second_half() -> None:
    assert [round(flat_cosine(done), 9) for done in (0, 0.25, 0.5, 0.75, 1)] == [1, 1, 1, 0.5, 0]


def test_parameters_get_the_rate_of_their_kind_and_biases_do_not_decay() -> None:
    model = MLPModule(**settings(**ALL, optimizer=ADAMW))
    groups = model.configure_optimizers().param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {names[id(p)]: (round(g["lr"] / 0.04, 6), g["weight_decay"]) for g in groups for p in g["params"]}
    assert len(found) == len(names)
    assert found["net.layers.0.scale"] == (6.0, 0.02)
    assert found["net.layers.1.weight"] == (1.0, 0.02)
    assert found["net.layers.1.bias"] == (0.1, 0.0)
    assert found["net.layers.2.share"] == (0.1, 0.02)
    assert found["embeddings.numbers.linear.bias"] == found["embeddings.numbers.frequencies"] == (0.1, 0.02)


def test_without_ingredients_there_is_one_group() -> None:
    assert len(MLPModule(**settings(optimizer=ADAMW)).configure_optimizers().param_groups) == 1


class Recorded(RealMLPModule):
    """Records dropout, weight decay and learning rate at each step."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps: list[tuple[float, ...]] = []

    def compute_loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        group = self.trainer.optimizers[0].param_groups[0]
        self.steps.append((self._dropouts[0].p, group["weight_decay"], group["lr"]))
        return super().compute_loss(batch)


def test_a_training_follows_the_schedules_and_learns(quiet_trainer: dict[str, Any]) -> None:
    data = digits()
    model = Recorded(**settings(**ALL, optimizer=ADAMW, d_in=64, d_out=10, activation=None, dropout_rate=0.15))
    trainer = L.Trainer(**quiet_trainer, max_epochs=6, logger=False)
    trainer.fit(model, datamodule=data)
    assert model.steps[0] == (0.15, 0.02, 0.0)
    assert model.steps[-1][0] < 0.01
    assert model.steps[-1][1] < 0.001
    assert max(rate for _, _, rate in model.steps) == pytest.approx(0.004, rel=0.05)  # of the first group: embeddings
    assert trainer.callback_metrics["val/acc"] > 0.9


@pytest.mark.parametrize(
    ("task", "activation", "smoothing", "lr"),
    [(Task.REGRESSION, nn.Mish, None, 0.2), (Task.MULTICLASS, nn.SELU, 0.1, 0.04), (Task.BINARY, nn.SELU, 0.1, 0.04)],
)
def test_what_is_null_follows_the_task(task: Task, activation: type, smoothing: float | None, lr: float) -> None:
    changes = {"activation": None, "label_smoothing": None, "task": task, "d_out": 2}
    model = RealMLPModule(**settings(**{**ALL, **changes, "optimizer": ADAMW}))
    assert any(isinstance(layer, activation) for layer in model.net.modules())
    assert getattr(model.objective, "label_smoothing", None) == smoothing
    rates = [group["lr"] for group in model.configure_optimizers().param_groups]
    assert any(rate == pytest.approx(lr) for rate in rates)


def test_predictions_of_a_regression_stay_within_the_targets() -> None:
    model = RealMLPModule(**settings(task=Task.REGRESSION, d_out=1, activation=None, label_smoothing=None))
    x = 1000 * torch.randn(50, 2)
    model.low.fill_(-1.0)
    model.high.fill_(0.5)
    model.eval()
    assert (model(x).min().item(), model(x).max().item()) == (-1.0, 0.5)
    model.train()
    assert model(x).abs().max() > 1
