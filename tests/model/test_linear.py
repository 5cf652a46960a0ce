"""A linear layer is torch's, whoever multiplies."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightsweep.model import linear
from lightsweep.model.linear import LARGE, Linear, is_large

N_ROWS, D_IN, D_OUT = 48, 300, 128
assert N_ROWS * D_IN * D_OUT > LARGE
needs_onednn = pytest.mark.skipif(not linear.HAS_ONEDNN, reason="the CPU has no AVX-512")


def pair() -> tuple[Linear, nn.Linear]:
    torch.manual_seed(0)
    own = Linear(D_IN, D_OUT).train()
    torchs = nn.Linear(D_IN, D_OUT)
    torchs.load_state_dict(own.state_dict())
    return own, torchs


def rows(n: int = N_ROWS) -> Tensor:
    return torch.randn(n, D_IN, generator=torch.Generator().manual_seed(1))


def products_by_onednn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Fills with the shape of each product."""
    made: list[tuple[int, ...]] = []
    product = linear.product

    def counted(*arguments: Tensor) -> Tensor:
        out = product(*arguments)
        made.append(tuple(out.shape))
        return out

    monkeypatch.setattr(linear, "product", counted)
    return made


def test_values_and_gradients_are_torchs() -> None:
    own, torchs = pair()
    own_x, x = rows().requires_grad_(), rows().requires_grad_()
    out, expected = own(own_x), torchs(x)
    out.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(own_x.grad, x.grad)
    for name in ("weight", "bias"):
        torch.testing.assert_close(getattr(own, name).grad, getattr(torchs, name).grad)


@needs_onednn
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_an_evaluation_is_onednns_too(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = products_by_onednn(monkeypatch)
    own, torchs = pair()
    with mode():
        torch.testing.assert_close(own.eval()(rows()), torchs(rows()))
    assert made == [(N_ROWS, D_OUT)]


@needs_onednn
def test_large_products_are_onednns_and_those_that_nobody_asks_for_are_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = products_by_onednn(monkeypatch)
    own, _ = pair()
    own(rows()).sum().backward()
    assert made == [(N_ROWS, D_OUT), (D_OUT, D_IN)]
    own.weight.requires_grad_(False)
    own(rows().requires_grad_()).sum().backward()
    assert made[2:] == [(N_ROWS, D_OUT), (N_ROWS, D_IN)]


def test_it_is_torchs_own_where_that_is_as_fast_or_does_more(monkeypatch: pytest.MonkeyPatch) -> None:
    made = products_by_onednn(monkeypatch)
    own, torchs = pair()
    few = LARGE // (D_IN * D_OUT)
    assert torch.equal(own(rows(few)), torchs(rows(few)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(own(rows()), torchs(rows()))
    cube = rows().view(4, -1, D_IN)
    assert torch.equal(own(cube), torchs(cube))
    exported = torch.export.export(own, (rows(),))
    assert torch.equal(exported.module()(rows()), torchs(rows()))
    assert not made
    assert not is_large(rows().double(), own.double().weight)


def test_it_can_be_derived_twice() -> None:
    own, torchs = pair()
    second = []
    for layer in (own, torchs):
        x = rows().requires_grad_()
        [slope] = torch.autograd.grad(F.softplus(layer(x)).sum(), x, create_graph=True)
        second.append(torch.autograd.grad(slope.square().sum(), layer.weight)[0])
    torch.testing.assert_close(*second)


def test_without_onednn_all_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "HAS_ONEDNN", False)
    made = products_by_onednn(monkeypatch)
    own, torchs = pair()
    assert torch.equal(own(rows()), torchs(rows()))
    assert not made


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")
@pytest.mark.parametrize(
    "transform",
    [
        lambda layer: torch.func.jacrev(lambda x: layer(x).sum())(rows()),
        lambda layer: torch.func.vmap(lambda x: layer(x))(rows().expand(2, -1, -1)),
        lambda layer: torch.func.jvp(layer, (rows(),), (rows(),))[1],
        lambda layer: torch.jit.trace(layer, rows())(rows(50)),
        lambda layer: torch.fx.symbolic_trace(layer)(rows()),
    ],
    ids=["jacrev", "vmap", "jvp", "trace", "fx"],
)
def test_torch_can_transform_it(transform: Callable[[nn.Module], Tensor]) -> None:
    own, torchs = pair()
    torch.testing.assert_close(transform(own), transform(torchs))
