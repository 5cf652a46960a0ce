"""The attributes of the data that a model gets: those that its constructor has as parameters."""

import copy
from types import SimpleNamespace
from typing import Any

import hydra.utils
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from lightsweep.data.target import Target
from lightsweep.errors import ConfigError
from lightsweep.model.construction import build_model, constructor_arguments, stored_attributes
from lightsweep.model.module import MLPModule
from lightsweep.task import Task
from tests.model.modules import CONF, settings

DATA = SimpleNamespace(d_in=4, d_out=2, task=Task.BINARY, classes=("no", "yes"), batch_size=8)


class Plain(nn.Module):
    def __init__(self, *, d_in: int, d_out: int, width: int = 3, cardinalities: tuple[int, ...] = ()) -> None:
        super().__init__()


class PassesKwargsOn(Plain):
    def __init__(self, *, classes: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)


class HidesBaseClass(PassesKwargsOn):
    def __init__(self, task: Task) -> None:
        super().__init__(classes=(), d_in=1, d_out=1)


def factory(d_in: int, optimizer: Any) -> nn.Module:
    return nn.Linear(d_in, 1)


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (Plain, {"d_in", "d_out"}),
        (PassesKwargsOn, {"d_in", "d_out", "classes"}),
        (HidesBaseClass, {"task"}),
        (factory, {"d_in"}),
        (MLPModule, {"d_in", "d_out", "task"}),
    ],
)
def test_a_model_gets_the_attributes_that_its_signature_names(target: Any, names: set[str]) -> None:
    assert constructor_arguments(target, DATA) == {name: getattr(DATA, name) for name in names}


@pytest.mark.parametrize(
    ("target", "missing"), [(HidesBaseClass, "task"), (Plain, "d_in, d_out"), (PassesKwargsOn, "classes, d_in, d_out")]
)
def test_missing_attributes_are_named_together(target: Any, missing: str) -> None:
    with pytest.raises(ConfigError, match=f"takes {missing}, but data._target_ is object, which has no such attribute"):
        constructor_arguments(target, object())


def built(node: dict[str, Any], **more: Any) -> Any:
    with hydra.utils.execution_whitelist(("lightsweep.*", "torch.nn.*")):
        return build_model(OmegaConf.create({"model": node}).model, **{"data": DATA, "optimizer": None, **more})


def test_a_model_without_an_optimizer_parameter_needs_optimizer_null() -> None:
    assert built({"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}).in_features == 2
    with pytest.raises(ConfigError, match=r"model: .*unexpected keyword argument 'optimizer'"):
        built({"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}, optimizer=torch.optim.Adam)


def test_an_attribute_in_the_config_need_not_be_in_the_data() -> None:
    node = OmegaConf.to_container(OmegaConf.load(CONF))
    assert isinstance(node, dict)
    model = built({**node, "d_in": 7, "d_out": 2}, data=object())  # type: ignore[dict-item]
    assert model.net.layers[0].in_features == 7


@pytest.mark.parametrize("target", ["os.system", "builtins.eval"])
def test_a_target_outside_the_allowlist_is_an_error(target: str) -> None:
    with pytest.raises(ConfigError, match=r"model.*whitelist"):
        built({"_target_": target})


def test_a_model_built_from_stored_attributes_takes_the_trained_weights() -> None:
    target = Target(task=Task.BINARY, names=("t",), classes=(0, 1))
    stored = stored_attributes(d_in=6, n_numbers=4, cardinalities=(4,), target=target)
    data = copy.copy(stored)
    data.quantiles = lambda n_bins: torch.linspace(-1, 1, n_bins + 1).expand(4, n_bins + 1)
    data.class_weights = (1.0, 3.0)
    options = settings(number_embedding="piecewise_linear", normalization="batch")
    trained, loaded = (MLPModule(**{**options, **constructor_arguments(MLPModule, d)}).eval() for d in (data, stored))
    loaded.load_state_dict(trained.state_dict())
    x = torch.cat([torch.randn(6, 4), torch.randint(2, (6, 1)), torch.randint(4, (6, 1))], dim=1)
    assert torch.equal(loaded(x), trained(x))
