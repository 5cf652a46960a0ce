"""Embeddings of numeric features and categories: values, shapes and unknown codes."""

import math
from typing import Any

import pytest
import torch

from lightsweep.errors import ConfigError
from lightsweep.model.embeddings import Embeddings, Periodic, PiecewiseLinear, default_category_size


def embeddings(**changes: Any) -> Embeddings:
    defaults: dict[str, Any] = {"n_numbers": 3, "cardinalities": (), "kind": "none", "size": 5, "n_bins": 4}
    more = {"quantiles": None, "n_frequencies": 6, "frequency_scale": 0.1, "category_size": None}
    return Embeddings(**{**defaults, **more, **changes})


def test_by_default_rows_are_unchanged_and_there_are_no_weights() -> None:
    module = embeddings()
    x = torch.randn(4, 3)
    assert module.is_identity
    assert torch.equal(module(x), x)
    assert module.d_out == 3
    assert not module.state_dict()


@pytest.mark.parametrize("kind", ["none", "piecewise_linear", "periodic"])
@pytest.mark.parametrize(("n_numbers", "cardinalities"), [(3, ()), (3, (5, 40)), (0, (5,)), (1, (2,))])
def test_d_out_is_the_width_and_every_weight_gets_a_gradient(
    kind: str, n_numbers: int, cardinalities: tuple[int, ...]
) -> None:
    module = embeddings(kind=kind, n_numbers=n_numbers, cardinalities=cardinalities)
    codes = [torch.randint(n, (7, 1)).float() for n in cardinalities]
    out = module(torch.cat([torch.randn(7, n_numbers), *codes], dim=1))
    assert out.shape == (7, module.d_out)
    numbers = n_numbers if kind == "none" else 5 * n_numbers
    assert module.d_out == numbers + sum(map(default_category_size, cardinalities))
    if out.requires_grad:
        out.square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0.0, [0.0, 0.0, 0.0]),
        (0.5, [0.5, 0.0, 0.0]),
        (1.0, [1.0, 0.0, 0.0]),
        (2.0, [1.0, 0.5, 0.0]),
        (3.5, [1.0, 1.0, 0.5]),
        (4.0, [1.0, 1.0, 1.0]),
        (6.0, [1.0, 1.0, 3.0]),  # the outer bins are not limited, as in the paper
        (-2.0, [-2.0, 0.0, 0.0]),
    ],
)
def test_a_number_is_encoded_as_its_share_of_each_bin(x: float, expected: list[float]) -> None:
    encoding = PiecewiseLinear(torch.tensor([[0.0, 1.0, 3.0, 4.0]]))
    assert encoding(torch.tensor([[x]])).tolist() == [[expected]]


@pytest.mark.parametrize("x", [-3.0, 0.0, 0.5, 1.0, 9.0])
def test_a_bin_of_width_0_is_0_and_never_nan(x: float) -> None:
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
def test_an_unknown_code_counts_as_code_0(code: int) -> None:
    module = embeddings(n_numbers=0, cardinalities=(4,), category_size=2)
    assert torch.equal(module(torch.tensor([[float(code)]])), module(torch.tensor([[0.0]])))
    assert module.d_out == 2


@pytest.mark.parametrize("kind", ["none", "piecewise_linear", "periodic"])
def test_booleans_are_not_embedded(kind: str) -> None:
    module = embeddings(kind=kind, n_numbers=2, n_booleans=3, cardinalities=(4,), category_size=2)
    booleans = torch.tensor([[0.0, 1.0, 1.0]])
    out = module(torch.cat([torch.randn(1, 2), booleans, torch.tensor([[3.0]])], dim=1))
    d_numbers = 2 if kind == "none" else 10
    assert out.shape == (1, module.d_out) == (1, d_numbers + 3 + 2)
    assert torch.equal(out[:, d_numbers:-2], booleans)


def test_an_unknown_kind_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"model.number_embedding is 'ple'.*none, piecewise_linear, periodic"):
        embeddings(kind="ple")
