"""The optimizer is torch's RMSprop up to rounding, with all of its options, hooks and states."""

from typing import Any

import pytest
import torch
from torch import nn

from lightsweep.optimizer.rmsprop import RMSprop, is_one_pass

N_STEPS = 20
OPTIONS = [
    {},
    {"alpha": 0.9, "eps": 1e-3},
    {"alpha": 0.0},
    {"weight_decay": 0.1},
    {"lr": torch.tensor(0.01)},
    {"momentum": 0.9},
    {"centered": True},
    {"maximize": True},
    {"foreach": False},
]


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 33, dtype=dtype), nn.Linear(33, 3, dtype=dtype))


def gradients_of_step(net: nn.Module, step: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in net.parameters()]


def run(net: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for i in steps:
        for parameter, gradient in zip(net.parameters(), gradients_of_step(net, i), strict=True):
            parameter.grad = gradient
        optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_steps_as_torch_does(options: dict[str, Any], dtype: torch.dtype) -> None:
    net, twin = network(dtype), network(dtype)
    run(net, RMSprop(net.parameters(), **options), range(N_STEPS))
    run(twin, torch.optim.RMSprop(twin.parameters(), **options), range(N_STEPS))
    for parameter, expected in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected)


def test_numbers_may_lie_in_another_order() -> None:
    gradient = torch.randn(5, 3)
    stepped = []
    for kind in (RMSprop, torch.optim.RMSprop):
        for weight in (torch.ones(5, 3), torch.ones(3, 5).t()):
            parameter = nn.Parameter(weight)
            parameter.grad = gradient.t().contiguous().t() if weight.is_contiguous() else gradient
            kind([parameter]).step()
            stepped.append(parameter)
    for parameter in stepped:
        torch.testing.assert_close(parameter, stepped[-1])


def test_a_former_state_of_torch_is_gone_on_with() -> None:
    net, twin = network(), network()
    before, expected = (torch.optim.RMSprop(each.parameters()) for each in (net, twin))
    run(net, before, range(5))
    now = RMSprop(net.parameters())
    now.load_state_dict(before.state_dict())
    run(net, now, range(5, N_STEPS))
    run(twin, expected, range(N_STEPS))
    for parameter, state in zip(net.parameters(), expected.state.values(), strict=True):
        assert now.state[parameter]["step"] == state["step"] == N_STEPS
        torch.testing.assert_close(now.state[parameter]["square_avg"], state["square_avg"])


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_gradients_are_left_as_they_were_and_where_there_is_none_nothing_moves(weight_decay: float) -> None:
    net = network()
    optimizer = RMSprop(net.parameters(), weight_decay=weight_decay)
    run(net, optimizer, range(1))
    assert all(map(torch.equal, [p.grad for p in net.parameters()], gradients_of_step(net, 0)))
    weights = [parameter.clone() for parameter in net.parameters()]
    optimizer.zero_grad()
    optimizer.step()
    assert all(map(torch.equal, net.parameters(), weights))


def test_closure_and_hooks_are_called_once() -> None:
    net = network()
    optimizer = RMSprop(net.parameters(), momentum=0.9)
    torch.optim.RMSprop(network().parameters())  # makes torch's own step call hooks, too
    called = []
    optimizer.register_step_pre_hook(lambda *_: called.append("hook"))

    def closure() -> float:
        assert torch.is_grad_enabled()
        called.append("closure")
        return 0.5

    assert optimizer.step(closure) == 0.5
    assert called == ["hook", "closure"]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_only_a_cpu_makes_one_pass(device: str) -> None:
    [group] = RMSprop(network().to(device).parameters()).param_groups
    assert is_one_pass(group, group["params"]) == (device == "cpu")
