"""The rules for the values of a config: what each accepts, and that all problems are reported together."""

import importlib.util
import math
import subprocess
import sys
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from lightsweep.config.validation import EXTRAS, RULES, check_config, direction_of, problem_of, problems_of
from lightsweep.errors import ConfigError

QUOTES = " It is a text: leave out its quotes."
# Values that no rule for numbers accepts.
NOT_NUMBERS = [None, "3", "", True, math.nan, math.inf, -math.inf, [1], {"a": 1}]
COUNTS = ([1, 2, 10**9], [*NOT_NUMBERS, 0, -1, 1.0, 2.5])
FACTORS = ([0.1, 1, 6.0], [*NOT_NUMBERS, 0, 0.0, -0.1])
FROM_0_BELOW_1 = ([0, 0.0, 0.5, 0.999], [*NOT_NUMBERS, 1, 1.0, 1.5, -0.1])
FRACTIONS = ([0.1, 0.5], [*NOT_NUMBERS, 0, 1, 1.5, -0.1])
PATHS = ([None, "a.csv"], ["", 3, ["a.csv"]])
BOOLEANS = ([True, False], [None, 0, 1, "true", "", "no"])

COUNTS_OR_NULL = ([None, 1, 64], [v for v in [*NOT_NUMBERS, 0, -1, 1.5] if v is not None])

TABLE: dict[str, tuple[list[Any], list[Any]]] = {
    "monitor": (["val/acc", "loss", ["a"], ["a", "b"]], [None, "", 3, True, [], ["a", "a"], ["a", None], {"a": "b"}]),
    "direction": (["maximize", ["minimize", "maximize"]], ["", "max", "Maximize", True, 1, [], ["up"], {"a": 1}]),
    "ship": (["best_of_first", "knee"], [None, "", "best", ["knee"]]),
    "seed": ([0, 1, 2**32 - 1], [*NOT_NUMBERS, -1, 2**32, 1.0]),
    "threads": COUNTS_OR_NULL,
    "confirm.top_k": ([0, 1, 3], [*NOT_NUMBERS, -1, 1.5]),
    "confirm.n_seeds": ([2, 5], [*NOT_NUMBERS, 0, 1, 2.5]),
    "refit": BOOLEANS,
    "export": ([[], ["onnx"], ["torch", "onnx"]], [None, "onnx", ["onnx", "pickle"], 3, True]),
    "verbose": BOOLEANS,
    "data.batch_size": COUNTS,
    "data.shuffle": BOOLEANS,
    "data.n_samples": COUNTS,
    "data.n_features": COUNTS,
    "data.path": (["a.csv"], [None, "", 3, ["a.csv"]]),
    "data.val_path": PATHS,
    "data.test_path": PATHS,
    "data.y_path": PATHS,
    "data.cache": (["outputs/cache"], [None, "", 3]),
    "data.target": (["y", "", 0, -1, ["a", "b"], [0, "b"], None], [1.5, True, [], [1.5], {"a": 1}]),
    "data.drop": ([None, [], ["a", "b"]], ["a", [1], 3, {"a": 1}]),
    "data.task": ([None, "binary", "multiclass", "regression"], ["", "classes", 2]),
    "data.kinds": ([None, {}, {"zip": "category", "n": "number"}], ["category", ["a"], {"zip": "text"}, {"zip": None}]),
    "data.missing": ([None, [], [-999, "unknown", 0.5]], ["unknown", -999, [None], {"a": 1}]),
    "data.split": ([None, "stratified", "random", "group", "time", "column"], ["", "groups", 0.2]),
    "data.split_by": ([None, "customer"], [0, ["a"], True]),
    "data.val_fraction": FRACTIONS,
    "data.test_fraction": FRACTIONS,
    "data.val_seed": ([None, 0, 1, 2**40], [v for v in [*NOT_NUMBERS, -1, 1.5] if v is not None]),
    "data.fold": ([None, 0, 4], [v for v in [*NOT_NUMBERS, -1, 1.5] if v is not None]),
    "data.n_folds": ([2, 10], [*NOT_NUMBERS, 1, 0, 2.0]),
    "data.resampling": (["holdout", "reshuffle", "kfold"], [None, "", "folds"]),
    "data.decimal": (["point", "comma"], [None, "", ".", ","]),
    "data.thousands": ([None, "comma", "point", "space", "apostrophe"], ["", ",", "dot"]),
    "data.encoding": ([None, "latin-1", "utf-16", "cp1252"], ["latin-99", "hex", 1, "\0"]),
    "data.target_scale": (["standard", "robust"], [None, "quantile"]),
    "data.rare_classes": (["refuse", "drop", "other"], [None, "", "merge"]),
    "data.scale": (["standard", "quantile"], [None, "", "minmax"]),
    "data.one_hot_up_to": ([0, 12], [*NOT_NUMBERS, -1, 1.5]),
    "data.class_weights": ([None, "balanced"], ["", True, [1, 2]]),
    "data.n_classes": ([2, 10], [*NOT_NUMBERS, 1, 0, 2.0]),
    "model.n_layers": COUNTS,
    "model.hidden_size": COUNTS,
    "model.layer_sizes": ([None, [], [8], [256, 128]], [[0], [8, 0.5], ["8"], [True], 8, "8", "[8]"]),
    "model.dropout_rate": FROM_0_BELOW_1,
    "model.activation": (["relu", "gelu", "leaky_relu", "selu", "mish", None], ["", "ReLU", 3]),
    "model.normalization": (["none", "batch", "layer"], [None, "", "Batch", True]),
    "model.residual": BOOLEANS,
    "model.label_smoothing": ([*FROM_0_BELOW_1[0], None], [value for value in FROM_0_BELOW_1[1] if value is not None]),
    "model.number_embedding": (["none", "piecewise_linear", "periodic", "pbld"], [None, "", "ple"]),
    "model.number_embedding_size": COUNTS,
    "model.n_bins": COUNTS,
    "model.n_frequencies": COUNTS,
    "model.frequency_scale": ([1e-3, 1, 10.0], [*NOT_NUMBERS, 0, -0.1]),
    "model.category_embedding_size": COUNTS_OR_NULL,
    "model.schedule": (["none", "one_cycle", "cosine", "coslog4", None], ["", "linear"]),
    "model.parametrization": (["standard", "ntk"], [None, "", "mup"]),
    "model.parametric_activation": ([True, False], [None, 0, "yes"]),
    "model.scaling_layer": ([True, False], [None, 0, "yes"]),
    "model.dropout_schedule": (["constant", "flat_cosine"], [None, "", "cosine"]),
    "model.weight_decay_schedule": (["constant", "flat_cosine"], [None, "", "cosine"]),
    "model.decay_biases": ([True, False], [None, 0, "yes"]),
    **dict.fromkeys([f"model.{kind}_lr_factor" for kind in ("bias", "scaling", "activation", "embedding")], FACTORS),
    "model.batches_per_step": COUNTS_OR_NULL,
    "optimizer.lr": ([1e-8, 1, 0.1, 10.0], [*NOT_NUMBERS, 0, 0.0, -0.1]),
    "optimizer.momentum": FROM_0_BELOW_1,
    "optimizer.weight_decay": ([0, 0.0, 0.01, 3], [*NOT_NUMBERS, -0.1]),
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


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, (valid, _) in TABLE.items() for value in valid])
def test_a_valid_value_is_no_problem(key: str, value: Any) -> None:
    assert problems_of(config_with(key, value)) == []


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, (_, invalid) in TABLE.items() for value in invalid])
def test_an_invalid_value_is_one_problem_that_states_the_rule(key: str, value: Any) -> None:
    [problem] = problems_of(config_with(key, value))
    assert problem.startswith(f"{key} is ")
    assert problem.removesuffix(QUOTES).endswith(f"; it must be {RULES[key].must_be}.")


def test_the_keys_of_the_users_own_data_module_are_not_checked() -> None:
    assert problems_of(config_of(data___target_="mine.Data", data__split=0.2, data__path=None)) == []
    assert len(problems_of(config_of(data___target_="lightsweep.data.mine", data__split=0.2, data__path=None))) == 2


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("model.n_layers", 0, "model.n_layers is 0; it must be a whole number of at least 1."),
        ("model.n_layers", None, "model.n_layers is null; it must be a whole number of at least 1."),
        ("+optimizer.lr", 0, "+optimizer.lr is 0; it must be a number above 0."),
        ("++optimizer.lr", math.nan, "++optimizer.lr is nan; it must be a number above 0."),
        ("++optimizer.lr", 0.1, None),
        ("optimizer", "adam", None),
        ("model.some_other", 3, None),
    ],
)
def test_a_problem_is_one_sentence_with_key_value_and_rule(key: str, value: Any, problem: str | None) -> None:
    assert problem_of(key, value) == problem


@pytest.mark.parametrize(
    ("key", "text", "is_said"),
    [
        ("optimizer.lr", "1e-3", True),
        ("optimizer.lr", "-1", False),
        ("optimizer.lr", "fast", False),
        ("optimizer.lr", "", False),
        ("model.n_layers", "3", True),
        ("model.n_layers", "3: [", False),
        ("model.layer_sizes", "[64,32]", True),
        ("model.layer_sizes", "[64,-1]", False),
        ("model.layer_sizes", "null", True),
        ("model.residual", "true", True),
        ("model.residual", "${nowhere}", False),
        ("export", "[onnx]", True),
        ("data.kinds", "{zip: category}", True),
    ],
)
def test_a_text_that_would_be_valid_without_quotes_is_said_to_be_one(key: str, text: str, is_said: bool) -> None:
    assert str(problem_of(key, text)).endswith(QUOTES) is is_said


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
        ("val_acc/dataloader_idx_0", "maximize"),  # but for Lightning's suffix
        ("val/loss/dataloader_idx_12", "minimize"),
        ("val/neg_loss", None),
        ("val/negative_mse", None),
        ("val/loss_score", None),
        ("val/lossless", None),
        ("val/account", None),
        ("value", None),
        ("", None),
    ],
)
def test_the_direction_must_fit_the_name_of_the_metric(metric: str, direction: str | None) -> None:
    assert direction_of(metric) == direction
    for given in ("maximize", "minimize"):
        problems = problems_of(config_of(monitor=metric, direction=given)) if metric else []
        assert len(problems) == (direction not in (None, given))
        assert all(problem.startswith(f"direction is {given}, but monitor is '{metric}'") for problem in problems)


@pytest.mark.parametrize(
    ("metric", "meant"), [("val/rmse", "minimize"), ("val/acc", "maximize"), ("val/surprise", None)]
)
def test_the_direction_is_read_from_the_name_of_the_metric(metric: str, meant: str | None) -> None:
    cfg = config_of(monitor=metric, direction="${direction_of:${monitor}}")
    assert cfg.direction == meant
    problems = problems_of(cfg)
    assert len(problems) == (meant is None)
    for problem in problems:
        assert problem.startswith(f"direction is not known: the name of monitor '{metric}'")
        assert problem.endswith("Add direction=maximize or direction=minimize.")


@pytest.mark.parametrize(
    ("monitor", "direction", "problem"),
    [
        (["val/acc", "model/n_params"], ["maximize", "minimize"], None),
        (["val/acc"], "maximize", None),
        ("val/acc", ["maximize"], None),
        (
            ["val/acc", "val/surprise"],
            ["maximize", None],
            "Add direction=[maximize,maximize] or direction=[maximize,mi",
        ),
        (["val/acc", "val/loss"], ["maximize", "maximize"], "Set direction=[maximize,minimize], or monitor another"),
        (
            ["val/acc", "val/loss"],
            "maximize",
            "monitor is [val/acc,val/loss]. Give one for each metric, such as direction=[maximize,mi",
        ),
        ("val/acc", ["maximize"] * 2, "direction is [maximize,maximize], but monitor is val/acc. Give one"),
        (
            ["model/n_params", "val/acc"],
            ["minimize", "maximize"],
            "monitor begins with model/n_params, which is the same",
        ),
    ],
)
def test_each_objective_has_the_direction_of_its_name(monitor: Any, direction: Any, problem: str | None) -> None:
    problems = problems_of(config_of(monitor=monitor, direction=direction))
    assert len(problems) == (problem is not None)
    assert all(str(problem) in each for each in problems)


def test_the_directions_of_several_metrics_are_read_from_their_names() -> None:
    cfg = config_of(monitor=["val/acc", "model/n_params", "x"], direction="${direction_of:${monitor}}")
    assert list(cfg.direction) == ["maximize", "minimize", None]


def test_missing_keys_are_no_problem() -> None:
    check_config(OmegaConf.create())
    check_config(OmegaConf.create({"model": {"n_layers": 1}, "data": None, "optimizer": {}}))


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("???", "seed is not given; it must be a whole number"),
        ("${nowhere}", "seed: Interpolation key 'nowhere' not found"),
    ],
)
def test_a_missing_value_and_a_wrong_interpolation_are_problems(value: str, part: str) -> None:
    problems = problems_of(OmegaConf.create({"seed": value, "model": {"n_layers": 0}}))
    assert len(problems) == 2
    assert problems[0].startswith(part)
    assert "model.n_layers" in problems[1]


def test_interpolations_are_resolved_before_the_check() -> None:
    cfg = OmegaConf.create({"width": 0, "model": {"hidden_size": "${width}"}})
    assert problems_of(cfg) == ["model.hidden_size is 0; it must be a whole number of at least 1."]


@pytest.mark.parametrize("target", EXTRAS)
def test_the_problem_of_a_missing_logger_package_is_the_command_that_installs_it(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = EXTRAS[target]
    installed = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == package else installed(name, *more)
    )
    cfg = OmegaConf.create({"seed": -1, "logger": {"mine": {"_target_": target}, "off": None}})
    wrong_seed, missing = problems_of(cfg)
    assert wrong_seed.startswith("seed is -1")
    assert missing.startswith(f"logger=mine needs the package {package}, which is not installed. ")
    assert f"-e '.[{package}]'" in missing


@pytest.mark.parametrize(
    "logger", [None, {}, {"csv": None}, {"csv": {"_target_": "pytorch_lightning.loggers.CSVLogger"}}]
)
def test_a_logger_without_an_extra_is_no_problem(logger: Any) -> None:
    assert problems_of(OmegaConf.create({"logger": logger})) == []


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        # Loaded at every start, also for --help.
        ("cli.app, config.validation, sweeper.sweeper, config.targets", {"optuna", "plotly"}),
        ("sweeper.search", {"sqlalchemy"}),
        ("report.page", {"plotly", "matplotlib", "optuna.visualization"}),
    ],
)
def test_the_modules_before_the_training_import_neither_torch_nor_other_slow_packages(
    modules: str, heavy: set[str]
) -> None:
    heavy = heavy | {"torch", "pytorch_lightning", "sklearn"}
    imports = ", ".join(f"lightsweep.{name}" for name in modules.split(", "))
    code = f"import sys, {imports}; print([name for name in {sorted(heavy)} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
