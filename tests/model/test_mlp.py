"""The MLP: layers, shapes, activations, normalizations and skip connections."""

from typing import Any

import pytest
import torch
from torch import nn

from lightsweep.errors import ConfigError
from lightsweep.model.mlp import ACTIVATIONS, MLP, Residual


def mlp(**changes: Any) -> MLP:
    defaults = {"d_in": 5, "d_out": 3, "sizes": [8, 8], "dropout_rate": 0.0, "activation": "relu"}
    return MLP(**{**defaults, "normalization": "none", "residual": False, **changes})


def of_type(net: MLP, kind: type[nn.Module]) -> list[Any]:
    return [module for module in net.modules() if isinstance(module, kind)]


@pytest.mark.parametrize(
    ("sizes", "shapes"),
    [
        ([4], [(5, 4), (4, 3)]),
        ([256], [(5, 256), (256, 3)]),
        ([64, 64], [(5, 64), (64, 64), (64, 3)]),
        ([7, 7, 7], [(5, 7), (7, 7), (7, 7), (7, 3)]),
        ([1, 1, 1], [(5, 1), (1, 1), (1, 1), (1, 3)]),
        ([9, 4], [(5, 9), (9, 4), (4, 3)]),
        ([], [(5, 3)]),
    ],
)
def test_hidden_layers_have_the_given_sizes(sizes: list[int], shapes: list[tuple[int, int]]) -> None:
    net = mlp(sizes=sizes)
    assert [(layer.in_features, layer.out_features) for layer in of_type(net, nn.Linear)] == shapes
    assert len(of_type(net, nn.ReLU)) == len(of_type(net, nn.Dropout)) == len(sizes)
    assert isinstance(net.layers[-1], nn.Linear)  # logits without an activation
    assert net(torch.zeros(6, 5)).shape == (6, 3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_layer_has_the_activation_of_that_name(activation: str) -> None:
    net = mlp(activation=activation, sizes=[4, 4, 4])
    assert len(of_type(net, ACTIVATIONS[activation])) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "rellu"}, "model.activation is 'rellu'.*relu, gelu, silu, tanh, leaky_relu"),
        ({"normalization": "group"}, "model.normalization is 'group'.*none, batch, layer"),
    ],
)
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mlp(**changes)


@pytest.mark.parametrize("dropout_rate", [0.0, 0.1, 0.5])
def test_dropout_drops_its_rate_in_training_and_nothing_in_evaluation(dropout_rate: float) -> None:
    torch.manual_seed(0)
    net = mlp(dropout_rate=dropout_rate)
    for dropout in of_type(net, nn.Dropout):
        dropped = (dropout(torch.ones(100_000)) == 0).float().mean().item()
        assert dropped == pytest.approx(dropout_rate, abs=0.01)
    x = torch.randn(4, 5)
    net.eval()
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize(("normalization", "kind"), [("batch", nn.BatchNorm1d), ("layer", nn.LayerNorm)])
def test_each_hidden_layer_is_normalized_before_its_activation(normalization: str, kind: type[nn.Module]) -> None:
    layers = [type(layer) for layer in mlp(normalization=normalization).layers]
    assert [issubclass(layer, kind) for layer in layers[:4]] == [False, True, False, False]
    assert len(of_type(mlp(normalization=normalization), kind)) == 2
    assert not of_type(mlp(), kind)


@pytest.mark.parametrize("n_rows", [1, 2])
@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
def test_a_batch_of_one_row_can_be_trained_on(normalization: str, n_rows: int) -> None:
    net = mlp(normalization=normalization, activation="tanh").train()
    net(torch.randn(n_rows, 5)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize(
    ("d_in", "sizes", "n_residual"), [(5, [8, 8, 8], 2), (8, [8, 8], 1), (5, [8, 4, 4, 8], 1), (5, [8, 4], 0)]
)
def test_layers_of_equal_width_have_a_skip_connection(d_in: int, sizes: list[int], n_residual: int) -> None:
    net = mlp(d_in=d_in, sizes=sizes, residual=True)
    blocks = of_type(net, Residual)
    assert len(blocks) == n_residual
    assert net(torch.randn(3, d_in)).shape == (3, 3)
    for residual in blocks:
        x = torch.randn(3, residual.block[0].in_features)
        assert torch.equal(residual(x), x + residual.block(x))
