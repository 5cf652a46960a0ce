"""Embeddings of numbers and of categories: their values, their shapes, and what is not known."""

import math
from typing import Any

import pytest
import torch

from lightsweep.errors import ConfigError
from lightsweep.model.embeddings import Embeddings, Periodic, PiecewiseLinear, usual_size


def embeddings(**changes: Any) -> Embeddings:
    defaults: dict[str, Any] = {"n_numbers": 3, "cardinalities": (), "kind": "none", "size": 5, "n_bins": 4}
    more = {"quantiles": None, "n_frequencies": 6, "frequency_scale": 0.1, "category_size": None}
    return Embeddings(**{**defaults, **more, **changes})


def test_by_default_a_row_stays_as_it_is_and_no_weight_is_made() -> None:
    there = embeddings()
    x = torch.randn(4, 3)
    assert torch.equal(there(x), x)
    assert there.d_out == 3
    assert not list(there.parameters())
    assert not there.state_dict()


@pytest.mark.parametrize("kind", ["none", "piecewise_linear", "periodic"])
@pytest.mark.parametrize(("n_numbers", "cardinalities"), [(3, ()), (3, (5, 40)), (0, (5,)), (1, (2,))])
def test_the_output_is_as_wide_as_it_says(kind: str, n_numbers: int, cardinalities: tuple[int, ...]) -> None:
    there = embeddings(kind=kind, n_numbers=n_numbers, cardinalities=cardinalities)
    codes = [torch.randint(n, (7, 1)).float() for n in cardinalities]
    out = there(torch.cat([torch.randn(7, n_numbers), *codes], dim=1))
    assert out.shape == (7, there.d_out)
    numbers = n_numbers if kind == "none" else 5 * n_numbers
    assert there.d_out == numbers + sum(map(usual_size, cardinalities))
    if out.requires_grad:
        out.square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in there.parameters())


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0.0, [0.0, 0.0, 0.0]),
        (0.5, [0.5, 0.0, 0.0]),
        (1.0, [1.0, 0.0, 0.0]),
        (2.0, [1.0, 0.5, 0.0]),
        (3.5, [1.0, 1.0, 0.5]),
        (4.0, [1.0, 1.0, 1.0]),
        (6.0, [1.0, 1.0, 3.0]),  # the ends go on, as in the paper
        (-2.0, [-2.0, 0.0, 0.0]),
    ],
)
def test_a_number_is_so_much_of_each_bin(x: float, expected: list[float]) -> None:
    encoding = PiecewiseLinear(torch.tensor([[0.0, 1.0, 3.0, 4.0]]))
    assert encoding(torch.tensor([[x]])).tolist() == [[expected]]


@pytest.mark.parametrize("x", [-3.0, 0.0, 0.5, 1.0, 9.0])
def test_a_bin_without_width_is_nought_and_never_nan(x: float) -> None:
    out = PiecewiseLinear(torch.tensor([[0.0, 0.0, 0.0, 1.0], [2.0, 2.0, 2.0, 2.0]]))(torch.full((1, 2), x))
    assert out.isfinite().all()
    assert out[0, 0].tolist() == [0.0, 0.0, max(0.0, x)]
    assert out[0, 1].tolist() == [0.0, 0.0, 0.0]


def test_periodic_is_sine_and_cosine_of_learned_frequencies() -> None:
    torch.manual_seed(0)
    encoding = Periodic(n_numbers=2, n_frequencies=500, scale=3.0)
    assert encoding.frequencies.std().item() == pytest.approx(3, rel=0.1)
    out = encoding(torch.tensor([[0.5, 0.0]]))
    assert out.shape == (1, 2, 1000)
    assert out[0, 0, 0].item() == pytest.approx(math.sin(math.pi * encoding.frequencies[0, 0].item()), abs=1e-5)
    assert torch.equal(out[0, 1], torch.cat([torch.zeros(500), torch.ones(500)]))


@pytest.mark.parametrize("code", [-1, 4, 100])
def test_a_code_that_is_not_known_counts_as_unseen(code: int) -> None:
    there = embeddings(n_numbers=0, cardinalities=(4,), category_size=2)
    assert torch.equal(there(torch.tensor([[float(code)]])), there(torch.tensor([[0.0]])))
    assert there.d_out == 2


@pytest.mark.parametrize("kind", ["none", "piecewise_linear", "periodic"])
def test_truths_are_not_numbers_and_stay_as_they_are(kind: str) -> None:
    there = embeddings(kind=kind, n_numbers=2, n_booleans=3, cardinalities=(4,), category_size=2)
    truths = torch.tensor([[0.0, 1.0, 1.0]])
    out = there(torch.cat([torch.randn(1, 2), truths, torch.tensor([[3.0]])], dim=1))
    n_numbers = 2 if kind == "none" else 10
    assert out.shape == (1, there.d_out) == (1, n_numbers + 3 + 2)
    assert torch.equal(out[:, n_numbers:-2], truths)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"model.number_embedding is 'ple'.*none, piecewise_linear, periodic"):
        embeddings(kind="ple")
