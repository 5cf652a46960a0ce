"""Gradients without autograd: the same to the last bit, and only where nobody could tell the difference."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightsweep.data.splits import Scaler
from lightsweep.model.module import MLPModule
from lightsweep.model.training_steps import Batch
from lightsweep.task import Task
from tests.model.modules import settings

REGRESSION: dict[str, Any] = {"task": Task.REGRESSION, "target_scaler": Scaler(mean=torch.zeros(3), std=torch.ones(3))}


def module(kind: type[MLPModule] = MLPModule, **changes: Any) -> MLPModule:
    torch.manual_seed(0)
    return kind(**settings(**{"d_in": 5, "d_out": 3, "hidden_size": 16, "dropout_rate": 0.25, **changes})).train()


def batch_for(model: MLPModule, n_rows: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n_rows, 5, generator=generator)
    return x, x[:, :3] if model.task.is_regression else x[:, :3].argmax(dim=1)


@pytest.mark.parametrize("n_rows", [1, 3, 64])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_layers": 1},
        {"n_layers": 3, "hidden_size": 200},
        {"layer_sizes": [192, 256, 256], "dropout_rate": 0.1},
        {"layer_sizes": [32, 8], "dropout_rate": 0.0},
        {"class_weights": (0.5, 1.0, 2.5)},
        REGRESSION,
        {"task": Task.BINARY},
    ],
    ids=str,
)
def test_loss_and_gradients_are_those_of_autograd(changes: dict[str, Any], n_rows: int) -> None:
    model = module(**changes)
    batch = batch_for(model, n_rows)
    gradients = model.gradients()
    assert gradients is not None
    for _ in range(2):  # the second time those of the first are replaced
        torch.manual_seed(2)
        expected = model.loss_of(batch)
        by_autograd = torch.autograd.grad(expected, list(model.parameters()))
        torch.manual_seed(2)
        loss = gradients(batch)
        assert loss is not None
        assert torch.equal(loss, expected)
        assert not loss.requires_grad
        for parameter, gradient in zip(model.parameters(), by_autograd, strict=True):
            assert parameter.grad is not None
            assert torch.equal(parameter.grad, gradient)
        batch = batch[0].flip(0), batch[1].flip(0)


class OwnForward(MLPModule):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class OwnLoss(MLPModule):
    def loss_of(self, batch: Batch) -> Tensor:
        return 2 * super().loss_of(batch)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": OwnForward},
        {"kind": OwnLoss},
        {"label_smoothing": 0.1},
        {"activation": "gelu"},
        {"normalization": "batch"},
        {"residual": True, "n_layers": 2},
        {"number_embedding": "periodic"},
        {"cardinalities": (4,)},
        {"dropout_rate": 1.0},
    ],
    ids=str,
)
def test_what_is_not_plain_is_left_to_autograd(changes: dict[str, Any]) -> None:
    assert module(**changes).gradients() is None


def freeze(model: MLPModule) -> None:
    next(model.parameters()).requires_grad = False


def watch_layer(model: MLPModule) -> None:
    model.net.layers[0].register_forward_hook(lambda *_: None)


def watch_backward(model: MLPModule) -> None:
    model.net.layers[1].register_full_backward_hook(lambda *_: None)


def watch_parameter(model: MLPModule) -> None:
    next(model.parameters()).register_hook(lambda _: None)


def watch_sum(model: MLPModule) -> None:
    next(model.parameters()).register_post_accumulate_grad_hook(lambda _: None)


def prune(model: MLPModule) -> None:
    layer = model.net.layers[0]
    assert isinstance(layer, nn.Linear)
    torch.nn.utils.prune.random_unstructured(layer, "weight", amount=0.5)


def replace_layer(model: MLPModule) -> None:
    model.net.layers[1] = nn.ReLU6()


def patch(model: MLPModule) -> None:
    vars(model)["forward"] = lambda x: x


def stop_dropout(model: MLPModule) -> None:
    model.net.layers[2].eval()


def lay_otherwise(model: MLPModule) -> None:
    weight = next(model.parameters())
    weight.data = weight.data.t().contiguous().t()


def tie(model: MLPModule) -> None:
    first, second = model.net.layers[3], model.net.layers[6]
    assert isinstance(first, nn.Linear)
    second.weight = first.weight


def drop_bias(model: MLPModule) -> None:
    model.net.layers[0].bias = None


@pytest.mark.parametrize("change", [stop_dropout, lay_otherwise, tie, drop_bias])
def test_a_network_that_was_changed_is_left_to_autograd(change: Callable[[MLPModule], None]) -> None:
    model = module(n_layers=3)
    change(model)
    assert model.gradients() is None


@pytest.mark.parametrize(
    "change", [freeze, watch_layer, watch_backward, watch_parameter, watch_sum, prune, replace_layer, patch]
)
def test_who_looks_at_the_network_sees_autograd(change: Callable[[MLPModule], None]) -> None:
    model = module()
    assert model.gradients() is not None
    change(model)
    assert model.gradients() is None


def test_hooks_for_all_modules_and_the_search_for_anomalies_see_autograd() -> None:
    model = module()
    handle = torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert model.gradients() is None
    handle.remove()
    with torch.autograd.set_detect_anomaly(True):
        assert model.gradients() is None
    assert model.gradients() is not None


@pytest.mark.parametrize("x", [torch.zeros(2, 5, dtype=torch.float64), torch.zeros(2, 1, 5)], ids=["float64", "3d"])
def test_an_unusual_batch_is_left_to_autograd(x: Tensor) -> None:
    gradients = module().gradients()
    assert gradients is not None
    assert gradients((x, torch.zeros(2, dtype=torch.int64))) is None
