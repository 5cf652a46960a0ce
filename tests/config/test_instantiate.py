"""Instantiation of config nodes: the objects, the targets that are rejected, and the error messages."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra.utils
import pytest
import torch
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue
from torch import nn

from lightsweep.config import targets
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
def _allowlist() -> Iterator[None]:
    with hydra.utils.execution_whitelist(ALLOWED_TARGETS):
        yield


def built(node: dict[str, Any], **kwargs: Any) -> Any:
    return build(OmegaConf.create({"part": node}).part, "part", **kwargs)


def message_of(node: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        built(node)
    assert caught.value.__cause__ is not None
    message = str(caught.value)
    assert "part" in message  # the key of the node
    assert "\n" not in message
    return message


def test_the_target_is_called_with_its_keys_and_the_arguments_which_win() -> None:
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


def test_interpolations_of_the_node_are_resolved() -> None:
    pruner = built(
        {
            "_target_": "optuna.pruners.PercentilePruner",
            "percentile": 25.0,
            "n_startup_trials": "${part.interval_steps}",
            "interval_steps": 3,
        }
    )
    assert (pruner._n_startup_trials, pruner._interval_steps) == (3, 3)


def test_a_partial_takes_the_remaining_arguments_later() -> None:
    optimizer_of = built({"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.25})
    assert optimizer_of(nn.Linear(1, 1).parameters()).param_groups[0]["lr"] == 0.25


def test_an_escaped_interpolation_is_resolved_once() -> None:
    assert built({"_target_": "torch.nn.Dropout", "p": 0.25, "inplace": r"\${seed}"}).inplace == "${seed}"


def test_the_nodes_of_a_mapping_without_a_target_are_built() -> None:
    assert list(map(type, built({"a": [{"_target_": "torch.nn.ReLU"}]})["a"])) == [nn.ReLU]


def test_a_target_is_located_without_a_call() -> None:
    node = OmegaConf.create({"part": {"_target_": "torch.nn.Dropout", "rate": 2, "inplace": {"_target_": "nowhere"}}})
    assert locate_target(node.part, "part") is nn.Dropout


def test_a_target_that_is_not_allowed_is_not_located() -> None:
    with pytest.raises(ConfigError, match=r"^part\._target_ is 'own\.Net', which is not on the allowlist"):
        locate_target(OmegaConf.create({"part": {"_target_": "own.Net"}}).part, "part")


def test_a_target_that_was_allowed_before_is_checked_again() -> None:
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
        "lightsweep.cli.app.os.getcwd",  # reached through a module of an allowed package
        "lightsweep.config.targets.os.system",
        "lightsweep.files.os.system",
        "collections.OrderedDict",
    ],
)
def test_a_target_that_is_not_allowed_is_rejected(target: str) -> None:
    message = message_of({"_target_": target})
    assert target in message
    assert re.search("(white|allow)list", message)  # Hydra has its own message for the most dangerous ones


@pytest.mark.parametrize(
    ("target", "named", "entry"),
    [
        ("own_model.TwoTowers", "'own_model.TwoTowers', which is not on the allowlist", "own_model.*"),
        ("own.deep.Net", "'own.deep.Net', which is not on the allowlist", "own.deep.*"),
        (
            "lightsweep.cli.app.os.getcwd",
            "'lightsweep.cli.app.os.getcwd', an alias of 'os.getcwd', which is not on the allowlist",
            "lightsweep.cli.app.os.getcwd",
        ),
    ],
)
def test_the_error_for_a_target_tells_how_to_allow_it(
    target: str, named: str, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "USER_TARGETS", ("own_data.*",))
    message = message_of({"_target_": target})
    assert message.startswith(f"part._target_ is {named} of targets. ")
    assert f"set LIGHTSWEEP_TRUST='own_data.*,{entry}' in the environment" in message


def test_the_error_for_a_dangerous_target_does_not_tell_how_to_allow_it() -> None:
    assert targets.VARIABLE not in message_of({"_target_": "os.system"})


def test_the_error_for_an_allowed_module_that_is_missing_names_the_path_variable() -> None:
    with hydra.utils.execution_whitelist(("nowhere_to_be.*",)):
        message = message_of({"_target_": "nowhere_to_be.found.Net"})
    assert message.startswith("part._target_ is 'nowhere_to_be.found.Net', but Python finds no module 'nowhere_to_be'.")
    assert "PYTHONPATH=<the folder that holds it>" in message


def test_a_nested_target_that_is_not_allowed_is_not_called(tmp_path: Path) -> None:
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
def test_an_unknown_or_missing_argument_is_named(node: dict[str, Any], part: str) -> None:
    assert part in message_of(node)


class PassesKeywords(mlp.MLP):
    def __init__(self, *, name: str, **shared: Any) -> None:
        super().__init__(**shared)


class CallsWrongly(mlp.MLP):
    def __init__(self, *, name: str) -> None:
        super().__init__(depth=3)  # type: ignore[call-arg]


def install(monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    """Put a class into the module of MLP, which is allowed."""
    monkeypatch.setattr(kind, "__module__", mlp.__name__)
    monkeypatch.setattr(mlp, kind.__name__, kind, raising=False)


def test_an_unknown_argument_that_a_subclass_passes_on_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, PassesKeywords)
    node = {**MLP, "_target_": "lightsweep.model.mlp.PassesKeywords", "name": "mine", "depth": 3}
    assert "part: MLP.__init__() got an unexpected keyword argument 'depth'" in message_of(node)


def test_a_wrong_call_inside_a_constructor_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, CallsWrongly)
    with pytest.raises(TypeError, match="depth"):
        message_of({"_target_": "lightsweep.model.mlp.CallsWrongly", "name": "mine"})


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
def test_the_message_of_a_target_that_rejects_a_value_is_kept(node: dict[str, Any], part: str) -> None:
    assert part in message_of(node)


def test_a_config_error_passes_through() -> None:
    with pytest.raises(ConfigError, match=r"^model\.activation is 'rellu'; it must be one of") as caught:
        built({**MLP, "activation": "rellu"})
    assert caught.value.__cause__ is None


def test_a_missing_value_raises_omegaconfs_error() -> None:
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
def test_any_other_error_of_a_constructor_keeps_its_type_and_traceback(
    node: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        built(node)
    assert not isinstance(caught.value, ConfigError)
    assert "__init__" in [entry.name for entry in caught.traceback]


def test_the_entries_of_a_group_are_built_except_null() -> None:
    group = OmegaConf.create({"a": {"_target_": "torch.nn.ReLU"}, "b": None, "c": {"_target_": "torch.nn.Tanh"}})
    assert list(map(type, instantiate_all(group, "group"))) == [torch.nn.ReLU, torch.nn.Tanh]
    assert instantiate_all(None, "group") == instantiate_all(OmegaConf.create({}), "group") == []


def test_a_renamed_target_is_built_by_its_present_name() -> None:
    optimizer = built({"_target_": "lightsweep.optimizer.rmsprop.RMSprop", "_partial_": True, "lr": 0.1})
    assert optimizer.func is torch.optim.RMSprop
