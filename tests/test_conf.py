"""The shipped YAML files: each fits its target, and composes to valid values."""

import fnmatch
import inspect
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from hydra.utils import get_class
from omegaconf import DictConfig, ListConfig, OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from lightsweep.config.command_line import expand_aliases
from lightsweep.config.extras import missing_launcher
from lightsweep.config.targets import ALLOWED_TARGETS
from lightsweep.config.validation import problems_of
from lightsweep.model.construction import DATA_ATTRIBUTES
from lightsweep.model.mlp import ACTIVATIONS
from lightsweep.search.request import parse_request
from lightsweep.search.space import SearchSpace
from tests.conftest import CONF, Compose

FILES = {path.relative_to(CONF).with_suffix("").as_posix(): path for path in sorted(CONF.rglob("*.yaml"))}
OPTIONS = [name for name in FILES if "/" in name]
SPECIAL = {"_target_", "_partial_", "_recursive_", "_convert_"}
REQUIRED_OVERRIDES = {
    "data/table": ["data.path=customers.csv", "data.target=churned"],
    "data/arrays": ["data.path=mine.npz"],
    "data/openml": ["data.name=mnist_784"],
}
GIVEN_BY_TRAIN = {"d_in", "d_out", "optimizer"}  # data attributes, and the node of another group

INGREDIENTS = (  # of RealMLP
    "parametrization",
    "parametric_activation",
    "scaling_layer",
    "dropout_schedule",
    "weight_decay_schedule",
    "decay_biases",
    "bias_lr_factor",
    "scaling_lr_factor",
    "activation_lr_factor",
    "embedding_lr_factor",
)


def nodes_in(node: Any, path: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Yield each node with a `_target_` and its path, unresolved."""
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing() and not node._is_interpolation():
        if "_target_" in node:
            yield path, node
        for key in node:
            yield from nodes_in(node._get_node(key), f"{path}.{key}".lstrip("."))
    elif isinstance(node, ListConfig):
        for i in range(len(node)):
            yield from nodes_in(node._get_node(i), f"{path}[{i}]")


def parameters_of(target: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(get_class(target)).parameters)


def takes_any(parameters: dict[str, inspect.Parameter]) -> bool:
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())


def chosen(option: str) -> list[str]:
    """Return the overrides that select this file. Files of the sweeper need a search."""
    group, _, name = option.rpartition("/")
    search = ["hparams_search=mlp"] if group.startswith("hydra/sweeper") else []
    return [*search, f"{group}={name}", *REQUIRED_OVERRIDES.get(option, [])]


def wrong_values(cfg: DictConfig) -> list[str]:
    return [problem for problem in problems_of(cfg) if "which is not installed" not in problem]


def test_all_files_are_found() -> None:
    assert len(OPTIONS) > 30
    assert set(FILES) - set(OPTIONS) == {"train"}


@pytest.mark.parametrize("option", FILES)
def test_every_key_is_a_parameter_of_its_target(option: str) -> None:
    group, _, name = option.rpartition("/")
    if group == "hydra/launcher" and (missing := missing_launcher(name)):
        pytest.skip(missing)
    for path, node in nodes_in(OmegaConf.load(FILES[option])):
        parameters = parameters_of(node._target_)
        if not takes_any(parameters):
            assert set(map(str, node)) - SPECIAL <= set(parameters), f"{option}: {path or 'top'} -> {node._target_}"


@pytest.mark.parametrize("option", OPTIONS)
def test_every_target_is_allowed_and_our_own_are_in_the_package_of_their_group(option: str) -> None:
    group = option.removeprefix("hydra/").split("/")[0]
    for _, node in nodes_in(OmegaConf.load(FILES[option])):
        if node._target_.startswith("lightsweep."):
            assert node._target_.startswith(f"lightsweep.{group}.")
        hydras_own = option.startswith("hydra/launcher/")
        assert hydras_own or any(fnmatch.fnmatch(node._target_, pattern) for pattern in ALLOWED_TARGETS)


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_composes_to_valid_values(option: str, composed: Compose) -> None:
    cfg = composed(*chosen(option))
    group, _, name = option.rpartition("/")
    assert cfg.hydra.runtime.choices[group] == name
    assert wrong_values(cfg) == []


@pytest.mark.parametrize("option", OPTIONS)
def test_each_composed_node_has_the_arguments_of_its_target(option: str, composed: Compose) -> None:
    cfg = composed(*chosen(option))
    job = {key: cfg._get_node(key) for key in cfg if key != "hydra"}
    found = [pair for key, node in job.items() for pair in nodes_in(node, str(key))]
    assert {"data", "model", "optimizer", "trainer"} <= {path for path, _ in found}
    for path, node in found:
        parameters = parameters_of(node._target_)
        required = {
            name
            for name, p in parameters.items()
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        }
        if "_partial_" not in node:
            assert required - GIVEN_BY_TRAIN <= set(map(str, node)), path


@pytest.mark.parametrize("group", ["data", "model", "callbacks", "logger"])
def test_our_own_targets_take_keywords_without_defaults(group: str) -> None:
    """The YAML file is the only place of a default value."""
    for option in OPTIONS:
        for _, node in nodes_in(OmegaConf.load(FILES[option])) if option.startswith(f"{group}/") else ():
            if not node._target_.startswith("lightsweep.") or takes_any(parameters_of(node._target_)):
                continue
            for name, parameter in parameters_of(node._target_).items():
                # Arguments of calls without Hydra, and those that configs of earlier versions lack.
                later = ("val_seed", "fold", "n_folds", "resampling", *INGREDIENTS)
                if name not in ("trial", *DATA_ATTRIBUTES, *later):
                    assert parameter.kind is parameter.KEYWORD_ONLY
                    assert parameter.default is parameter.empty


def test_the_search_space_is_as_documented(composed: Compose) -> None:
    cfg = composed("hparams_search=mlp")
    request = parse_request(cfg.hydra.sweeper.params, [])
    assert request.fixed == []
    assert request.space.distributions == {
        "model.n_layers": IntDistribution(1, 3),
        "model.hidden_size": IntDistribution(64, 256, step=64),
        "model.dropout_rate": FloatDistribution(0.1, 0.5),
        "optimizer.lr": FloatDistribution(1e-5, 1e-2, log=True),
        "optimizer": CategoricalDistribution(("adam", "rmsprop", "sgd")),
        "data.batch_size": CategoricalDistribution((32, 64, 128)),
    }
    assert cfg.hydra.sweeper.n_trials == 50
    assert cfg.trainer.max_epochs == 5
    assert cfg.hydra.runtime.choices["hydra/sweeper/sampler"] == "tpe"
    assert cfg.hydra.runtime.choices["hydra/sweeper/pruner"] == "median"


@pytest.mark.parametrize(
    ("overrides", "folder"),
    [
        (["hparams_search=mlp"], r"mlp/[\d_-]+"),
        (["hparams_search=table"], r"table/[\d_-]+"),
        (["hparams_search=mlp", "hydra.sweeper.study_name=mine"], r"mine/[\d_-]+"),
        (["hydra/sweeper=lightsweep", "hydra.sweeper.study_name=own"], r"own/[\d_-]+"),  # a file without sweep.dir
        ([], r"multirun/\d+/[\d_-]+"),
    ],
)
def test_the_name_of_the_study_names_the_folder(overrides: list[str], folder: str, composed: Compose) -> None:
    assert re.fullmatch(f"outputs/{folder}", composed(*overrides).hydra.sweep.dir)


@pytest.mark.parametrize("search", ["mlp", "mlp_wide"])
def test_each_sample_of_a_search_space_composes_to_valid_values(search: str, composed: Compose) -> None:
    for sample in (space := space_of(search, composed)).samples():
        cfg = composed(f"hparams_search={search}", *space.to_overrides(sample))
        assert wrong_values(cfg) == []
        for name, value in sample.items():
            composed_value = cfg.hydra.runtime.choices[name] if name == "optimizer" else OmegaConf.select(cfg, name)
            if OmegaConf.is_list(composed_value):  # Optuna stores its text
                composed_value = str(composed_value).replace(" ", "")
            assert (composed_value, type(composed_value)) == (value, type(value))


def test_the_wide_space_searches_all_settings_of_the_model(composed: Compose) -> None:
    space = space_of("mlp_wide", composed)
    model = set(OmegaConf.load(FILES["model/mlp"])) - {"_target_", "batches_per_step", *INGREDIENTS}
    searched = {name.removeprefix("model.") for name in space.distributions if name.startswith("model.")}
    assert searched == model - {"category_embedding_size"}
    assert {"model.n_bins", "model.n_frequencies", "optimizer.momentum"} < set(space.conditions)


def test_label_smoothing_is_searched_only_for_metrics_of_classification(composed: Compose) -> None:
    assert "model.label_smoothing" in space_of("mlp_wide", composed, "monitor=val/f1_macro").distributions
    assert "model.label_smoothing" not in space_of("mlp_wide", composed, "monitor=val/rmse").distributions


def space_of(name: str, composed: Compose, *overrides: str) -> SearchSpace:
    cfg = composed(f"hparams_search={name}", *overrides)
    return parse_request(cfg.hydra.sweeper.params, [], when=cfg.hydra.sweeper.when, config=cfg).space


def test_every_optimizer_takes_weight_decay(composed: Compose) -> None:
    for option in OPTIONS:
        if option.startswith("optimizer/"):
            assert composed(option.replace("/", "=")).optimizer.weight_decay >= 0


@pytest.mark.parametrize(
    ("stated", "direction"),
    [
        (["monitor=val/rmse"], "minimize"),
        (["monitor=val/auroc"], "maximize"),
        (["monitor=val/r2"], "maximize"),
        (["monitor=val/loss", "direction=minimize"], "minimize"),
    ],
)
def test_monitor_seed_and_direction_are_shared_by_all_nodes(
    stated: list[str], direction: str, composed: Compose
) -> None:
    cfg = composed("hparams_search=mlp", "callbacks=early_stopping", *stated, "seed=7")
    judges = [callback for name, callback in cfg.callbacks.items() if name != "last_checkpoint"]
    assert [(judge.monitor, judge.direction) for judge in judges] == [(cfg.monitor, direction)] * 3
    assert cfg.hydra.sweeper.direction == cfg.direction == direction
    assert wrong_values(cfg) == []
    assert cfg.data.seed == cfg.hydra.sweeper.sampler.seed == 7


@pytest.mark.parametrize("option", ["auto", "cpu", "gpu"])
def test_the_trainers_differ_in_the_device_alone(option: str, composed: Compose) -> None:
    trainer = OmegaConf.merge(composed().trainer, {"accelerator": option})
    assert composed(f"trainer={option}").trainer == trainer


def commands_in(text: str) -> list[list[str]]:
    """Return the arguments of each `python train.py ...`, which end with the line or at two spaces."""
    found = re.findall(r"python train\.py((?: \S+)*)", text)
    return [[a for a in shlex.split(arguments) if not a.startswith("-")] for arguments in found]


COMMANDS = [
    (option, arguments)
    for option, path in FILES.items()
    for arguments in commands_in(path.read_text(encoding="utf-8"))
    if arguments != ["job"]  # from --cfg job
]


@pytest.mark.parametrize(
    "option", ["train", *(o for o in OPTIONS if o.split("/")[0] in ("hparams_search", "experiment"))]
)
def test_a_file_that_can_be_run_begins_with_its_command(option: str) -> None:
    comment = FILES[option].read_text(encoding="utf-8").split("\n\n")[0].split("defaults:")[0]
    [first, *_] = commands_in(comment)
    group, _, name = option.rpartition("/")
    assert first == ([f"{group}={name}"] if group else [])


@pytest.mark.parametrize(("option", "arguments"), COMMANDS, ids=lambda part: part if isinstance(part, str) else "")
def test_the_commands_in_the_comments_and_the_help_compose(
    option: str, arguments: list[str], composed: Compose
) -> None:
    known = expand_aliases([argument for argument in arguments if not argument.startswith("resume=")])
    request = parse_request({}, known)
    for sample in request.space.samples() or [{}]:
        assert wrong_values(composed(*request.fixed, *request.space.to_overrides(sample))) == []


def test_the_help_names_every_sampler_pruner_and_group() -> None:
    text = FILES["hydra/help/lightsweep"].read_text(encoding="utf-8")
    for kind in ("sampler", "pruner"):
        [listed] = re.findall(rf"^ *{kind}: +(.*)$", text, flags=re.MULTILINE)
        assert sorted(listed.split()) == sorted(p.stem for p in (CONF / "hydra" / "sweeper" / kind).glob("*.yaml"))
    for group in {option.split("/")[0] for option in OPTIONS} - {"hydra"}:
        assert re.search(rf"(^|  ){group}  ", text, flags=re.MULTILINE), group


def test_the_model_names_every_activation() -> None:
    text = FILES["model/mlp"].read_text(encoding="utf-8")
    [listed] = re.findall(r"^activation: \w+ # (.*)$", text, flags=re.MULTILINE)
    assert listed.split(", ") == list(ACTIVATIONS)
