"""The cheap mask is a fair one."""

import pytest
import torch
from torch import nn

from lightsweep.model.dropout import Dropout

RATES = [0.1, 0.25, 0.5, 0.9]


def dropped(p: float, *shape: int, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    out: torch.Tensor = Dropout(p)(torch.ones(shape))
    return out


@pytest.mark.parametrize("p", RATES)
def test_it_drops_so_many_and_keeps_the_mean(p: float) -> None:
    out = dropped(p, 1000, 401)
    assert (out == 0).double().mean().item() == pytest.approx(p, abs=3e-3)
    assert out.double().mean().item() == pytest.approx(1, rel=1e-2)
    kept = out[out != 0]
    assert kept.min() == kept.max()
    assert kept[0].item() == pytest.approx(1 / (1 - p), rel=1e-3)


@pytest.mark.parametrize("p", RATES)
def test_no_place_is_dropped_more_often_than_another(p: float) -> None:
    rates = (dropped(p, 20_000, 8) == 0).double().mean(dim=0)  # each of the four lanes of a draw, twice
    assert torch.allclose(rates, torch.full((8,), p, dtype=torch.float64), atol=0.02)


def test_neighbours_are_independent() -> None:
    zeros = (dropped(0.5, 20_000, 8) == 0).double()
    correlations = torch.corrcoef(zeros.T) - torch.eye(8)
    assert correlations.abs().max() < 0.04


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 3, 4), (0, 4)])
def test_any_shape_will_do(shape: tuple[int, ...]) -> None:
    assert dropped(0.5, *shape).shape == shape


def test_the_seed_decides() -> None:
    assert torch.equal(dropped(0.5, 64, 64, seed=1), dropped(0.5, 64, 64, seed=1))
    assert not torch.equal(dropped(0.5, 64, 64, seed=1), dropped(0.5, 64, 64, seed=2))


def test_the_gradient_is_that_of_what_was_kept() -> None:
    x = torch.ones(50, 40, requires_grad=True)
    out = Dropout(0.3)(x)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, out.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_type_is_kept(dtype: torch.dtype) -> None:
    assert Dropout(0.5)(torch.ones(4, 4, dtype=dtype)).dtype == dtype


def test_nothing_is_dropped_in_evaluation_or_at_rate_zero() -> None:
    x = torch.randn(20, 20)
    assert Dropout(0.5).eval()(x) is x
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(1.0)(x), torch.zeros_like(x))


def test_it_is_a_dropout_for_whoever_looks_for_one() -> None:
    assert isinstance(Dropout(0.5), nn.Dropout)
