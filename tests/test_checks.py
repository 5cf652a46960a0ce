"""The rules for the values of a config: what each takes and refuses, and that all problems are told at once."""

import importlib.util
import math
import subprocess
import sys
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from lightsweep.checks import EXTRAS, RULES, check_config, direction_of, problem_of, problems_of
from lightsweep.errors import ConfigError

# Values that are wrong for every number.
NO_NUMBERS = [None, "3", "", True, math.nan, math.inf, -math.inf, [1], {"a": 1}]
COUNTS = ([1, 2, 10**9], [*NO_NUMBERS, 0, -1, 1.0, 2.5])
SHARES = ([0, 0.0, 0.5, 0.999], [*NO_NUMBERS, 1, 1.0, 1.5, -0.1])
SWITCHES = ([True, False], [None, 0, 1, "true", "", "no"])

COUNTS_OR_NULL = ([None, 1, 64], [v for v in [*NO_NUMBERS, 0, -1, 1.5] if v is not None])

TABLE: dict[str, tuple[list[Any], list[Any]]] = {
    "monitor": (["val/acc", "loss"], [None, "", 3, True, ["val/acc"]]),
    "direction": (["maximize", "minimize"], [None, "", "max", "up", "Maximize", True, 1]),
    "seed": ([0, 1, 2**32 - 1], [*NO_NUMBERS, -1, 2**32, 1.0]),
    "threads": COUNTS_OR_NULL,
    "refit": SWITCHES,
    "export": ([[], ["onnx"], ["torch", "onnx"]], [None, "onnx", ["onnx", "pickle"], 3, True]),
    "verbose": SWITCHES,
    "data.batch_size": COUNTS,
    "data.shuffle": SWITCHES,
    "data.n_samples": COUNTS,
    "data.n_features": COUNTS,
    "data.n_classes": ([2, 10], [*NO_NUMBERS, 1, 0, 2.0]),
    "model.n_layers": COUNTS,
    "model.hidden_size": COUNTS,
    "model.dropout_rate": SHARES,
    "model.batches_per_step": COUNTS_OR_NULL,
    "optimizer.lr": ([1e-8, 1, 0.1, 10.0], [*NO_NUMBERS, 0, 0.0, -0.1]),
    "optimizer.momentum": SHARES,
    "optimizer.weight_decay": ([0, 0.0, 0.01, 3], [*NO_NUMBERS, -0.1]),
    "trainer.max_epochs": COUNTS,
    "callbacks.early_stopping.patience": COUNTS,
}


def config_of(**values: Any) -> DictConfig:
    """A config with these values at these paths, '.' written as '__'."""
    cfg = OmegaConf.create()
    for name, value in values.items():
        OmegaConf.update(cfg, name.replace("__", "."), value)
    return cfg


def config_with(key: str, value: Any) -> DictConfig:
    return config_of(**{key.replace(".", "__"): value})


def test_the_table_has_a_row_for_every_rule() -> None:
    assert set(TABLE) == set(RULES)


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, (good, _) in TABLE.items() for value in good])
def test_a_good_value_is_no_problem(key: str, value: Any) -> None:
    assert problems_of(config_with(key, value)) == []


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, (_, bad) in TABLE.items() for value in bad])
def test_a_bad_value_is_one_problem_that_says_what_it_must_be(key: str, value: Any) -> None:
    [problem] = problems_of(config_with(key, value))
    assert problem.startswith(f"{key} is ")
    assert problem.endswith(f"; it must be {RULES[key].must_be}.")


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("model.n_layers", 0, "model.n_layers is 0; it must be a whole number of at least 1."),
        ("model.n_layers", None, "model.n_layers is null; it must be a whole number of at least 1."),
        ("model.n_layers", "2", "model.n_layers is '2'; it must be a whole number of at least 1."),
        ("model.n_layers", 2.0, "model.n_layers is 2.0; it must be a whole number of at least 1."),
        ("+optimizer.lr", 0, "+optimizer.lr is 0; it must be a number above 0."),
        ("++optimizer.lr", math.nan, "++optimizer.lr is nan; it must be a number above 0."),
        ("++optimizer.lr", 0.1, None),
        ("optimizer", "adam", None),
        ("model.activation", 3, None),
        ("some.other.key", -1, None),
    ],
)
def test_a_problem_is_one_sentence_of_key_value_and_rule(key: str, value: Any, problem: str | None) -> None:
    assert problem_of(key, value) == problem


def test_all_problems_are_reported_together_in_the_order_of_the_rules() -> None:
    cfg = config_of(trainer__max_epochs=0, direction="up", model__n_layers=-1, model__hidden_size=64, seed=-5)
    with pytest.raises(ConfigError) as caught:
        check_config(cfg)
    assert [line.split(" is ")[0] for line in str(caught.value).splitlines()] == [
        "direction",
        "seed",
        "model.n_layers",
        "trainer.max_epochs",
    ]


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("val/loss", "minimize"),
        ("val_loss", "minimize"),
        ("loss", "minimize"),
        ("val/RMSE", "minimize"),
        ("val/error-rate", "minimize"),
        ("val/nll", "minimize"),
        ("val/acc", "maximize"),
        ("val/top5_acc", "maximize"),
        ("val/f1_macro", "maximize"),
        ("val/r2", "maximize"),
        ("loss/auroc", "maximize"),  # the last part counts
        ("val/neg_loss", None),
        ("val/negative_mse", None),
        ("val/loss_score", None),
        ("val/lossless", None),
        ("val/account", None),
        ("value", None),
        ("", None),
    ],
)
def test_the_name_of_a_metric_says_which_direction_is_better(metric: str, direction: str | None) -> None:
    assert direction_of(metric) == direction
    for asked in ("maximize", "minimize"):
        problems = problems_of(config_of(monitor=metric, direction=asked)) if metric else []
        assert len(problems) == (direction not in (None, asked))
        assert all(problem.startswith(f"direction is {asked}, but monitor is '{metric}'") for problem in problems)


def test_keys_that_a_config_does_not_have_are_no_problem() -> None:
    check_config(OmegaConf.create())
    check_config(OmegaConf.create({"model": {"n_layers": 1}, "data": None, "optimizer": {}}))


@pytest.mark.parametrize(
    ("value", "part"),
    [("???", "seed: "), ("${nowhere}", "seed: Interpolation key 'nowhere' not found")],
)
def test_a_value_that_is_missing_or_points_nowhere_is_a_problem_too(value: str, part: str) -> None:
    problems = problems_of(OmegaConf.create({"seed": value, "model": {"n_layers": 0}}))
    assert len(problems) == 2
    assert problems[0].startswith(part)
    assert "model.n_layers" in problems[1]


def test_values_are_checked_behind_their_interpolations() -> None:
    cfg = OmegaConf.create({"width": 0, "model": {"hidden_size": "${width}"}})
    assert problems_of(cfg) == ["model.hidden_size is 0; it must be a whole number of at least 1."]


@pytest.mark.parametrize("target", EXTRAS)
def test_a_logger_whose_package_is_not_installed_is_named_with_the_command(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, extra = EXTRAS[target]
    installed = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == package else installed(name, *more)
    )
    cfg = OmegaConf.create({"seed": -1, "logger": {"mine": {"_target_": target}, "off": None}})
    wrong_seed, missing = problems_of(cfg)
    assert wrong_seed.startswith("seed is -1")
    assert missing.startswith(f"logger=mine needs the package {package}, which is not installed. ")
    assert f"-e '.[{extra}]'" in missing


@pytest.mark.parametrize(
    "logger", [None, {}, {"csv": None}, {"csv": {"_target_": "pytorch_lightning.loggers.CSVLogger"}}]
)
def test_a_logger_without_further_packages_is_no_problem(logger: Any) -> None:
    assert problems_of(OmegaConf.create({"logger": logger})) == []


def test_checking_and_being_found_by_hydra_take_no_torch_and_no_optuna() -> None:
    """Both happen before the seconds that those take, at every start and for every --help."""
    code = (
        "import sys, lightsweep.app, lightsweep.checks, lightsweep.sweeper.sweeper, lightsweep.trust;"
        "print(sorted({'torch', 'optuna', 'pytorch_lightning', 'sklearn', 'plotly'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
