"""From a config node to an object: what is built, what is refused, and in which words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra.utils
import pytest
import torch
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue
from torch import nn

from lightsweep.config import targets as trust
from lightsweep.config.instantiate import build, instantiate_all, locate_target
from lightsweep.config.targets import ALLOWED_TARGETS
from lightsweep.errors import ConfigError
from lightsweep.model import mlp
from lightsweep.trial.outcome import Outcome

MLP = {
    "_target_": "lightsweep.model.mlp.MLP",
    "d_in": 2,
    "d_out": 2,
    "sizes": [4],
    "dropout_rate": 0.0,
    "activation": "relu",
    "normalization": "none",
    "residual": False,
}


@pytest.fixture(autouse=True)
def _trust() -> Iterator[None]:
    with hydra.utils.execution_whitelist(ALLOWED_TARGETS):
        yield


def built(node: dict[str, Any], **kwargs: Any) -> Any:
    return build(OmegaConf.create({"part": node}).part, "part", **kwargs)


def message_of(node: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        built(node)
    assert caught.value.__cause__ is not None
    message = str(caught.value)
    assert "part" in message  # where in the config it is
    assert "\n" not in message
    return message


def test_the_target_is_called_with_its_keys_and_what_is_given_beside_which_wins() -> None:
    layer = built({"_target_": "torch.nn.Linear", "in_features": 3, "bias": False}, out_features=5)
    assert (layer.in_features, layer.out_features, layer.bias) == (3, 5, None)
    assert built({"_target_": "torch.nn.Dropout", "p": 0.1}, p=0.5).p == 0.5


def test_lists_and_mappings_arrive_as_plain_python() -> None:
    outcome = {"monitor": "m", "value": 0.5, "best_epoch": 0, "n_epochs": [1, {"a": 2}], "max_epochs": 1}
    node = {"_target_": "lightsweep.trial.outcome.Outcome", **outcome, "test_metrics": {"test/acc": 0.5}}
    thing = built(node)
    assert isinstance(thing, Outcome)
    assert type(thing.test_metrics) is dict
    assert type(thing.n_epochs) is list
    assert type(thing.n_epochs[1]) is dict


def test_a_node_within_a_node_is_built_first() -> None:
    pruner = built(
        {
            "_target_": "optuna.pruners.PercentilePruner",
            "percentile": 25.0,
            "n_startup_trials": "${part.interval_steps}",
            "interval_steps": 3,
        }
    )
    assert (pruner._n_startup_trials, pruner._interval_steps) == (3, 3)


def test_a_partial_waits_for_the_rest_of_its_arguments() -> None:
    optimizer_of = built({"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.25})
    assert optimizer_of(nn.Linear(1, 1).parameters()).param_groups[0]["lr"] == 0.25


def test_an_escaped_interpolation_is_resolved_once() -> None:
    assert built({"_target_": "torch.nn.Dropout", "p": 0.25, "inplace": r"\${seed}"}).inplace == "${seed}"


def test_a_mapping_without_a_target_is_built_part_by_part() -> None:
    assert list(map(type, built({"a": [{"_target_": "torch.nn.ReLU"}]})["a"])) == [nn.ReLU]


def test_the_target_of_a_node_is_found_without_a_call() -> None:
    node = OmegaConf.create({"part": {"_target_": "torch.nn.Dropout", "rate": 2, "inplace": {"_target_": "nowhere"}}})
    assert locate_target(node.part, "part") is nn.Dropout


def test_the_target_of_a_node_that_is_not_trusted_is_refused_with_its_key() -> None:
    with pytest.raises(ConfigError, match=r"^part\._target_ is 'own\.Net', which is not trusted"):
        locate_target(OmegaConf.create({"part": {"_target_": "own.Net"}}).part, "part")


def test_a_target_that_was_trusted_once_is_not_trusted_for_ever() -> None:
    node = {"_target_": "torch.nn.ReLU"}
    built(node)
    with hydra.utils.execution_whitelist(["lightsweep.*"], reset=True):
        assert "torch.nn.ReLU" in message_of(node)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "os.getcwd",
        "builtins.eval",
        "subprocess.run",
        "shutil.rmtree",
        "lightsweep.cli.app.os.getcwd",  # a way around by a module that a trusted one imports
        "lightsweep.config.targets.os.system",
        "lightsweep.files.os.system",
        "collections.OrderedDict",
    ],
)
def test_a_target_that_is_not_trusted_is_refused(target: str) -> None:
    message = message_of({"_target_": target})
    assert target in message
    assert "whitelist" in message


@pytest.mark.parametrize(
    ("target", "told", "entry"),
    [
        ("own_model.TwoTowers", "'own_model.TwoTowers', which is not trusted", "own_model.*"),
        ("own.deep.Net", "'own.deep.Net', which is not trusted", "own.deep.*"),
        (
            "lightsweep.cli.app.os.getcwd",
            "'lightsweep.cli.app.os.getcwd', which is 'os.getcwd' and is not trusted",
            "lightsweep.cli.app.os.getcwd",
        ),
    ],
)
def test_a_target_that_could_be_trusted_is_told_with_the_way_to(
    target: str, told: str, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "USER_TARGETS", ("own_data.*",))
    message = message_of({"_target_": target})
    assert message.startswith(f"part._target_ is {told}: ")
    assert f"LIGHTSWEEP_TRUST='own_data.*,{entry}'" in message


def test_a_target_that_could_never_be_trusted_is_told_without_a_way() -> None:
    assert trust.VARIABLE not in message_of({"_target_": "os.system"})


def test_a_trusted_module_that_is_not_on_the_path_is_told_with_the_way_to_put_it_there() -> None:
    with hydra.utils.execution_whitelist(("nowhere_to_be.*",)):
        message = message_of({"_target_": "nowhere_to_be.found.Net"})
    assert message.startswith("part._target_ is 'nowhere_to_be.found.Net', but Python finds no module 'nowhere_to_be'.")
    assert "PYTHONPATH=<the folder that holds it>" in message


def test_a_target_that_is_not_trusted_is_not_called_within_another_either(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.touch()
    with pytest.raises(ConfigError, match=r"os\.remove"):
        built({"_target_": "torch.nn.Dropout", "p": {"_target_": "os.remove", "path": str(victim)}})
    assert victim.exists()


@pytest.mark.parametrize("target", ["lightsweep.nowhere.Net", "lightsweep.model.mlp.MLPP", "torch.optim.Adamm"])
def test_a_target_that_does_not_exist_is_named(target: str) -> None:
    assert f"Error locating target '{target}'" in message_of({"_target_": target})


@pytest.mark.parametrize(
    ("node", "part"),
    [
        ({**MLP, "depth": 3}, "part: MLP.__init__() got an unexpected keyword argument 'depth'"),
        ({"_target_": "lightsweep.model.mlp.MLP", "d_in": 2}, "part: MLP.__init__() missing 6 required keyword-only"),
        ({"_target_": "torch.nn.Dropout", "rate": 0.1}, "unexpected keyword argument 'rate'"),
        ({"_target_": "optuna.pruners.MedianPruner", "trials": 1}, "unexpected keyword argument 'trials'"),
        ({"_target_": "pytorch_lightning.Trainer", "max_epoch": 3}, "unexpected keyword argument 'max_epoch'"),
        ({"_target_": "optuna.samplers.TPESampler", "sed": 3}, "unexpected keyword argument 'sed'"),
        ({"_target_": "torch.optim.Adam", "_partial_": True, "lrr": 3}, "lrr"),
    ],
)
def test_an_argument_that_the_target_does_not_take_or_misses_is_named(node: dict[str, Any], part: str) -> None:
    assert part in message_of(node)


class HandsOn(mlp.MLP):
    def __init__(self, *, name: str, **shared: Any) -> None:
        super().__init__(**shared)


class TakesTheWrong(mlp.MLP):
    def __init__(self, *, name: str) -> None:
        super().__init__(depth=3)  # type: ignore[call-arg]


def install(monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    """Put a class beside MLP, where it is trusted."""
    monkeypatch.setattr(kind, "__module__", mlp.__name__)
    monkeypatch.setattr(mlp, kind.__name__, kind, raising=False)


def test_an_argument_that_a_subclass_hands_on_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, HandsOn)
    node = {**MLP, "_target_": "lightsweep.model.mlp.HandsOn", "name": "mine", "depth": 3}
    assert "part: MLP.__init__() got an unexpected keyword argument 'depth'" in message_of(node)


def test_a_wrong_call_inside_of_a_constructor_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, TakesTheWrong)
    with pytest.raises(TypeError, match="depth"):
        message_of({"_target_": "lightsweep.model.mlp.TakesTheWrong", "name": "mine"})


@pytest.mark.parametrize(
    ("node", "part"),
    [
        ({"_target_": "torch.nn.Dropout", "p": 2}, "part: dropout probability has to be between 0 and 1, but got 2"),
        ({"_target_": "optuna.pruners.SuccessiveHalvingPruner", "min_resource": 0}, "part: "),
        ({"_target_": "pytorch_lightning.Trainer", "accelerator": "abacus"}, "accelerator='abacus'"),
        ({"_target_": "pytorch_lightning.Trainer", "fast_dev_run": -1}, "fast_dev_run=-1"),  # MisconfigurationException
        ({**MLP, "sizes": "${nowhere}"}, "Interpolation key 'nowhere' not found"),
    ],
)
def test_a_value_that_the_target_refuses_is_told_in_its_own_words(node: dict[str, Any], part: str) -> None:
    assert part in message_of(node)


def test_our_own_refusal_passes_through_as_it_is() -> None:
    with pytest.raises(ConfigError, match=r"^model\.activation is 'rellu'; it must be one of") as caught:
        built({**MLP, "activation": "rellu"})
    assert caught.value.__cause__ is None


def test_a_value_that_was_left_open_is_omegaconfs_own_error() -> None:
    with pytest.raises(MissingMandatoryValue, match=r"part\.sizes"):
        built({**MLP, "sizes": "???"})


@pytest.mark.parametrize(
    ("node", "error"),
    [
        ({**MLP, "d_in": "two"}, TypeError),  # raised by torch, below MLP.__init__
        ({**MLP, "d_in": -1}, RuntimeError),
        ({**MLP, "sizes": 1}, TypeError),  # raised by MLP.__init__ itself
        (
            {"_target_": "lightsweep.search.jobs.TrialJobs", "launcher": 0, "space": 0, "fixed": 0, "sweep_dir": 0},
            TypeError,
        ),
    ],
)
def test_any_other_error_of_a_constructor_keeps_its_type_and_its_traceback(
    node: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        built(node)
    assert not isinstance(caught.value, ConfigError)
    assert "__init__" in [entry.name for entry in caught.traceback]


def test_all_of_a_group_are_built_but_those_set_to_null() -> None:
    group = OmegaConf.create({"a": {"_target_": "torch.nn.ReLU"}, "b": None, "c": {"_target_": "torch.nn.Tanh"}})
    assert list(map(type, instantiate_all(group, "group"))) == [torch.nn.ReLU, torch.nn.Tanh]
    assert instantiate_all(None, "group") == instantiate_all(OmegaConf.create({}), "group") == []


def test_a_target_of_an_earlier_version_is_built_by_its_present_name() -> None:
    optimizer = built({"_target_": "lightsweep.optimizer.rmsprop.RMSprop", "_partial_": True, "lr": 0.1})
    assert optimizer.func is torch.optim.RMSprop
