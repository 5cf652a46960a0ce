"""Conditional parameters of the search space."""

from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf

from lightsweep.errors import ConfigError
from lightsweep.search.fork import lies_in
from lightsweep.search.request import parse_request
from lightsweep.search.space import SearchSpace

PARAMS = {
    "lr": "interval(0.1, 0.2)",
    "momentum": "interval(0.8, 0.9)",
    "optimizer": "choice(adam, sgd, rmsprop)",
    "nesterov": "choice(true, false)",
    "depth": "int(interval(1, 3))",
}
CONFIG = OmegaConf.create(
    {"lr": 0.1, "momentum": 0.8, "nesterov": True, "hydra": {"runtime": {"choices": {"optimizer": "adam"}}}}
)


def space_of(*arguments: str, when: dict[str, str], config: Any = CONFIG, **params: str) -> SearchSpace:
    return parse_request({**PARAMS, **params}, arguments, when=when, config=config).space


def test_a_conditional_parameter_is_drawn_only_where_its_condition_holds() -> None:
    space = space_of(when={"momentum": "optimizer=sgd,rmsprop", "nesterov": "optimizer=sgd"})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    conditional = {"adam": set(), "rmsprop": {"momentum"}, "sgd": {"momentum", "nesterov"}}
    seen = set()
    for _ in range(30):
        trial = study.ask()
        drawn = space.suggest(trial)
        assert drawn == trial.params
        assert drawn.keys() == {"lr", "optimizer", "depth"} | conditional[drawn["optimizer"]]
        seen.add(drawn["optimizer"])
        assert lies_in(study.trials[-1], space)
        assert not lies_in(study.trials[-1], space_of(when={"depth": "optimizer=none"}))
    assert seen == set(conditional)


def test_parents_come_first_and_conditions_can_be_chained() -> None:
    space = space_of(when={"lr": "depth=3", "depth": "nesterov=true", "nesterov": "optimizer=sgd"})
    assert list(space.distributions) == ["momentum", "optimizer", "nesterov", "depth", "lr"]
    assert space.applicable({"optimizer": "adam", "nesterov": True, "depth": 3}) == ["momentum", "optimizer"]
    assert len(space.applicable({"optimizer": "sgd", "nesterov": True, "depth": 3})) == 5
    assert len(space.applicable({"optimizer": "sgd", "nesterov": True, "depth": 2})) == 4


def test_the_samples_show_every_value_of_conditional_parameters() -> None:
    space = space_of(when={"momentum": "optimizer=sgd", "nesterov": "optimizer=rmsprop", "depth": "nesterov=false"})
    samples = space.samples()
    for sample in [*samples, space.smallest(), space.largest()]:
        assert list(sample) == space.applicable(sample)
    for name, values in {"momentum": {0.8, 0.9}, "nesterov": {True, False}, "depth": {1, 3}}.items():
        assert {sample[name] for sample in samples if name in sample} == values


@pytest.mark.parametrize(
    ("arguments", "choice", "searched"),
    [
        (["optimizer=adam"], "adam", False),  # Hydra has set the fixed choice in the config
        (["optimizer=sgd"], "sgd", True),
        (["optimizer=choice(adam,sgd)"], "adam", True),
    ],
)
def test_a_condition_on_a_fixed_parameter_is_decided_by_the_config(
    arguments: list[str], choice: str, searched: bool
) -> None:
    config = OmegaConf.merge(CONFIG, {"hydra": {"runtime": {"choices": {"optimizer": choice}}}})
    space = space_of(*arguments, when={"momentum": "optimizer=sgd"}, config=config)
    assert ("momentum" in space.distributions) is searched
    assert ("momentum" in space.conditions) is (searched and "choice" in arguments[0])


@pytest.mark.parametrize(
    ("monitor", "is_drawn"),
    [("val/acc", True), (["val/acc", "model/n_params"], True), (["val/rmse", "val/acc"], False)],
)
def test_a_condition_on_the_metric_is_one_on_the_first_objective(monitor: Any, is_drawn: bool) -> None:
    config = OmegaConf.merge(CONFIG, {"monitor": monitor})
    space = space_of(when={"momentum": "monitor=val/acc"}, config=config)
    assert ("momentum" in space.distributions) == is_drawn


def test_a_parameter_whose_parent_does_not_apply_does_not_apply() -> None:
    space = space_of("optimizer=adam", when={"momentum": "optimizer=sgd", "nesterov": "momentum=0.8"})
    assert list(space.distributions) == ["lr", "depth"]


def test_the_condition_of_a_parameter_that_the_user_fixed_is_ignored() -> None:
    assert "momentum" not in space_of("momentum=0.5", when={"momentum": "optimizer=sgd"}).distributions


def test_a_condition_is_part_of_the_description_and_rules_out_a_grid() -> None:
    space = space_of(when={"momentum": "optimizer=sgd"})
    assert space.described()["momentum"] == "0.8 to 0.9 if optimizer=sgd"
    assert space.n_points() is None
    with pytest.raises(ConfigError, match=r"sampler=grid .* but momentum apply only where"):
        space.grid()


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({"momentun": "optimizer=sgd"}, "hydra.sweeper.when names momentun, which hydra.sweeper.params does not have"),
        ({"momentum": "sgd"}, "hydra.sweeper.when.momentum is 'sgd'; it must be other=value"),
        ({"momentum": "=="}, "hydra.sweeper.when.momentum is '=='; it must be other=value"),
        ({"lr": "momentum=0.8", "momentum": "lr=0.1"}, "hydra.sweeper.when: lr, momentum depend on each other"),
    ],
)
def test_an_invalid_condition_is_rejected(when: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        space_of(when=when)
    assert message in str(caught.value)
