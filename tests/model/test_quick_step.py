"""The quick step is the optimizer's own to the last bit, and only where nobody could tell the difference."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ExponentialLR
from torch.optim.optimizer import register_optimizer_step_post_hook

from lightsweep.model.quick_step import quick_step
from lightsweep.optimizer.rmsprop import RMSprop


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 33, dtype=dtype), nn.Linear(33, 3, dtype=dtype))


def set_gradients(net: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


def begun(kind: Callable[..., Optimizer], net: nn.Module, **options: Any) -> Optimizer:
    """After its first step."""
    optimizer = kind(net.parameters(), **options)
    set_gradients(net, seed=0)
    optimizer.step()
    return optimizer


def is_quick(optimizer: Optimizer) -> bool:
    return quick_step(optimizer) != optimizer.step


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Adam, {}),
        (Adam, {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
        (Adam, {"weight_decay": 0.1, "decoupled_weight_decay": True}),
        (AdamW, {"maximize": True}),
        (AdamW, {"weight_decay": 0.1}),
        (SGD, {}),
        (SGD, {"momentum": 0.9}),
        (SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        (SGD, {"momentum": 0.9, "dampening": 0.3, "maximize": True}),
        (RMSprop, {}),
        (RMSprop, {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    ],
)
def test_weights_and_state_are_the_optimizers_own(
    kind: Callable[..., Optimizer], options: dict[str, Any], dtype: torch.dtype
) -> None:
    net, twin = network(dtype), network(dtype)
    fused = {} if kind is RMSprop else {"fused": True}
    optimizer, its_twin = (begun(kind, one, lr=0.1, **fused, **options) for one in (net, twin))
    step = quick_step(optimizer)
    assert step != optimizer.step
    for i in range(1, 6):
        for each, its_optimizer in ((net, optimizer), (twin, its_twin)):
            set_gradients(each, seed=i)  # new tensors
            its_optimizer.param_groups[0]["lr"] = 0.1 / i
        step()
        its_twin.step()
    for parameter, of_twin in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(parameter, of_twin)
    expected = deepcopy(its_twin.state_dict())
    assert str(optimizer.state_dict()) == str(expected)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Adam, {"foreach": True}),
        (Adam, {"fused": True, "amsgrad": True}),
        (Adam, {"fused": True, "lr": torch.tensor(0.1)}),
        (torch.optim.RMSprop, {}),
        (RMSprop, {"centered": True}),
        (RMSprop, {"momentum": 0.5}),
        (RMSprop, {"maximize": True}),
        (SGD, {"foreach": True}),
        (type("Own", (SGD,), {}), {"fused": True}),
    ],
    ids=str,
)
def test_others_are_left_alone(kind: Callable[..., Optimizer], options: dict[str, Any]) -> None:
    assert not is_quick(begun(kind, network(), **{"lr": 0.1, **options}))


def test_hooks_are_called() -> None:
    optimizer = begun(Adam, network(), fused=True)
    assert is_quick(optimizer)
    handle = optimizer.register_step_post_hook(lambda *_: None)
    assert not is_quick(optimizer)
    handle.remove()
    handle = register_optimizer_step_post_hook(lambda *_: None)
    assert not is_quick(optimizer)
    handle.remove()
    assert is_quick(optimizer)


def test_a_scheduler_counts_the_steps() -> None:
    optimizer = begun(Adam, network(), fused=True)
    ExponentialLR(optimizer, gamma=0.9)
    assert not is_quick(optimizer)


def test_groups_and_parameters_without_gradient_are_left_to_torch() -> None:
    net = network()
    first, second = net.children()
    groups = [{"params": list(first.parameters())}, {"params": list(second.parameters())}]
    optimizer = Adam(groups, fused=True)
    set_gradients(net, seed=0)
    optimizer.step()
    assert not is_quick(optimizer)
    optimizer = begun(Adam, net, fused=True)
    next(net.parameters()).grad = None
    assert not is_quick(optimizer)
