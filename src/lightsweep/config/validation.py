"""The rules for the values of a config, checked before anything is built or written. Imports no torch."""

import importlib.util
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from lightsweep.config.resampling import WAYS, resampling_problems_of
from lightsweep.config.targets import current_target
from lightsweep.direction import BEST_OF_FIRST, DIRECTIONS, KNEE, N_PARAMS, listed, written
from lightsweep.errors import ConfigError


class Rule(NamedTuple):
    must_be: str
    holds: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list_of(value: Any, names: Collection[str]) -> bool:
    return isinstance(value, ListConfig) and all(item in names for item in value)


def _are(kind: Any, values: Any) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and all(isinstance(v, kind) for v in values)


def _are_sizes(value: Any) -> bool:
    return value is None or (_are(int, value) and all(map(POSITIVE_INT.holds, value)))


def _is_target(value: Any) -> bool:
    return value is None or isinstance(value, str) or _is_int(value) or (_are(str | int, value) and len(value) > 0)


def _is_monitor(value: Any) -> bool:
    names = listed(value)
    return bool(names) and all(isinstance(v, str) and v for v in names) and len(set(names)) == len(names)


def _are_directions(value: Any) -> bool:
    return bool(listed(value)) and all(v in (*DIRECTIONS, None) for v in listed(value))  # null: see below


def is_encoding(value: Any) -> bool:
    """True for the name of a text encoding that Python knows."""
    try:
        "".encode(value)
    except (TypeError, LookupError, ValueError):
        return False
    return True


def _one_of(*choices: str | None) -> Rule:
    *first, last = ["null" if choice is None else choice for choice in choices]
    return Rule(f"{', '.join(first)} or {last}", lambda v: v in choices)


def _or_null(rule: Rule) -> Rule:
    return Rule(f"{rule.must_be}, or null", lambda v: v is None or rule.holds(v))


POSITIVE_INT = Rule("a whole number of at least 1", lambda v: _is_int(v) and v >= 1)
POSITIVE_INT_OR_NULL = _or_null(POSITIVE_INT)
SHARE = Rule("a number from 0 to 1", lambda v: _is_number(v) and 0 <= v <= 1)
INT_FROM_2 = Rule("a whole number of at least 2", lambda v: _is_int(v) and v >= 2)
INT_FROM_0 = Rule("a whole number of at least 0", lambda v: _is_int(v) and v >= 0)
POSITIVE = Rule("a number above 0", lambda v: _is_number(v) and v > 0)
AT_LEAST_ZERO = Rule("a number of at least 0", lambda v: _is_number(v) and v >= 0)
FROM_0_BELOW_1 = Rule("a number from 0 up to, but not including, 1", lambda v: _is_number(v) and 0 <= v < 1)
PATH = Rule("the path of a file", lambda v: isinstance(v, str) and v != "")
FRACTION = Rule("a number above 0 and below 1", lambda v: _is_number(v) and 0 < v < 1)
KINDS = ("number", "category", "boolean", "date")
BOOLEAN = Rule("true or false", lambda v: isinstance(v, bool))

RULES: dict[str, Rule] = {
    "monitor": Rule("the name of a metric, such as val/acc, or a list of different ones", _is_monitor),
    "direction": Rule("maximize or minimize, or a list with one for each metric of monitor", _are_directions),
    "ship": Rule(f"{BEST_OF_FIRST} or {KNEE}", lambda v: v in (BEST_OF_FIRST, KNEE)),
    "seed": Rule("a whole number from 0 to 4294967295", lambda v: _is_int(v) and 0 <= v < 2**32),
    "threads": POSITIVE_INT_OR_NULL,
    "confirm.top_k": INT_FROM_0,
    "confirm.n_seeds": INT_FROM_2,
    "refit": BOOLEAN,
    "export": Rule("a list of onnx and torch, such as [onnx,torch]", lambda v: _is_list_of(v, ("onnx", "torch"))),
    "verbose": BOOLEAN,
    "data.batch_size": POSITIVE_INT,
    "data.shuffle": BOOLEAN,
    "data.n_samples": POSITIVE_INT,
    "data.n_features": POSITIVE_INT,
    "data.path": PATH,
    "data.val_path": _or_null(PATH),
    "data.test_path": _or_null(PATH),
    "data.y_path": _or_null(PATH),
    "data.cache": Rule("the path of a folder", lambda v: isinstance(v, str) and v != ""),
    "data.target": Rule("the name or the index of a column, or a list of them", _is_target),
    "data.drop": _or_null(Rule("a list of columns, such as [id,name]", lambda v: _are(str, v))),
    "data.task": _one_of("binary", "multiclass", "regression", None),
    "data.kinds": Rule(
        "null, or a kind per column, such as {zip:category}; kinds are number, category, boolean and date",
        lambda v: v is None or (isinstance(v, Mapping) and all(kind in KINDS for kind in v.values())),
    ),
    "data.missing": Rule(
        "null, or a list of values that count as missing, such as [-999,unknown]",
        lambda v: v is None or _are(str | int | float, v),
    ),
    "data.split": _one_of("stratified", "random", "group", "time", "column", None),
    "data.split_by": _or_null(Rule("the name of a column", lambda v: isinstance(v, str))),
    "data.val_fraction": FRACTION,
    "data.test_fraction": FRACTION,
    "data.val_seed": _or_null(INT_FROM_0),
    "data.fold": _or_null(INT_FROM_0),
    "data.n_folds": INT_FROM_2,
    "data.resampling": _one_of(*WAYS),
    "data.decimal": _one_of("point", "comma"),
    "data.thousands": _one_of("comma", "point", "space", "apostrophe", None),
    "data.encoding": _or_null(Rule("a text encoding that Python knows, such as latin-1 or utf-16", is_encoding)),
    "data.rare_classes": _one_of("refuse", "drop", "other"),
    "data.scale": _one_of("standard", "quantile", "robust_smooth"),
    "data.target_scale": _one_of("standard", "robust"),
    "data.one_hot_up_to": INT_FROM_0,
    "data.class_weights": _one_of("balanced", None),
    "data.n_classes": INT_FROM_2,
    "model.n_layers": POSITIVE_INT,
    "model.hidden_size": POSITIVE_INT,
    "model.layer_sizes": Rule("a list of whole numbers of at least 1, such as [256,128], or [] or null", _are_sizes),
    "model.dropout_rate": FROM_0_BELOW_1,
    "model.activation": _one_of("relu", "gelu", "silu", "tanh", "leaky_relu", "selu", "mish", None),
    "model.normalization": _one_of("none", "batch", "layer"),
    "model.residual": BOOLEAN,
    "model.label_smoothing": _or_null(FROM_0_BELOW_1),
    "model.number_embedding": _one_of("none", "piecewise_linear", "periodic", "pbld"),
    "model.number_embedding_size": POSITIVE_INT,
    "model.n_bins": POSITIVE_INT,
    "model.n_frequencies": POSITIVE_INT,
    "model.frequency_scale": POSITIVE,
    "model.category_embedding_size": POSITIVE_INT_OR_NULL,
    "model.schedule": _one_of("none", "one_cycle", "cosine", "coslog4", None),
    "model.parametrization": _one_of("standard", "ntk"),
    "model.parametric_activation": BOOLEAN,
    "model.scaling_layer": BOOLEAN,
    "model.dropout_schedule": _one_of("constant", "flat_cosine"),
    "model.weight_decay_schedule": _one_of("constant", "flat_cosine"),
    "model.decay_biases": BOOLEAN,
    **{f"model.{kind}_lr_factor": POSITIVE for kind in ("bias", "scaling", "activation", "embedding")},
    "model.batches_per_step": POSITIVE_INT_OR_NULL,
    "optimizer.lr": POSITIVE,
    "optimizer.momentum": FROM_0_BELOW_1,
    "optimizer.weight_decay": AT_LEAST_ZERO,
    "trainer.max_epochs": POSITIVE_INT,
    "callbacks.early_stopping.patience": POSITIVE_INT,
}

# Words in the name of a metric that tell its direction.
SMALLER_IS_BETTER = {"loss", "error", "err", "rmse", "mse", "mae", "perplexity", "nll"}
LARGER_IS_BETTER = {"acc", "accuracy", "f1", "auroc", "auc", "precision", "recall", "r2", "score", "iou", "dice"}

EXTRAS = {  # target of a logger -> the package that it needs, which is also the name of the extra
    "pytorch_lightning.loggers.TensorBoardLogger": "tensorboard",
    "pytorch_lightning.loggers.MLFlowLogger": "mlflow",
    "pytorch_lightning.loggers.WandbLogger": "wandb",
}
ABSENT = object()
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_config(cfg: DictConfig) -> None:
    """Raise one `ConfigError` that lists all problems in the values of a config."""
    if problems := problems_of(cfg):
        raise ConfigError("\n".join(problems))


def problems_of(cfg: DictConfig) -> list[str]:
    """Return the problems in the values of a config, one sentence each with key, value and rule."""
    return [*_wrong_values(cfg), *resampling_problems_of(cfg), *_wrong_objectives(cfg), *_missing_extras(cfg)]


def problem_of(key: str, value: Any) -> str | None:
    """Return the problem with one value, None if there is no rule that it breaks."""
    rule = RULES.get(key.lstrip("+"))
    if rule is None or rule.holds(value):
        return None
    is_quoted = isinstance(value, str) and value and rule.holds(_read(value))
    quotes = " It is a text: leave out its quotes." if is_quoted else ""
    return f"{key} is {_shown(value)}; it must be {rule.must_be}.{quotes}"


def _read(text: str) -> Any:
    """Return the value that is written as this text without quotes."""
    try:
        return OmegaConf.from_dotlist([f"value={text}"]).value
    except Exception:  # noqa: BLE001  (YAML's errors and OmegaConf's have no common class)
        return text


def _wrong_values(cfg: DictConfig) -> Iterator[str]:
    # The user's own class may give a key another meaning.
    own = tuple(f"{group}." for group in ("data", "model") if _is_users_own(cfg, group))
    for key, rule in RULES.items():
        if key.startswith(own):
            continue
        try:
            value = OmegaConf.select(cfg, key, default=ABSENT, throw_on_missing=True)
        except MissingMandatoryValue:
            yield f"{key} is not given; it must be {rule.must_be}."
        except OmegaConfBaseException as error:
            yield f"{key}: {str(error).splitlines()[0]}"
        else:
            if value is not ABSENT and (problem := problem_of(key, value)):
                yield problem


def _is_users_own(cfg: DictConfig, group: str) -> bool:
    target = OmegaConf.select(cfg, f"{group}._target_")
    return target is not None and not str(target).startswith("lightsweep.")


def direction_of(metric: str) -> str | None:
    """Return the direction that the name of a metric tells, None if it is unknown or ambiguous."""
    if metric == N_PARAMS:
        return "minimize"
    name = re.sub(r"/dataloader_idx_\d+$", "", metric)  # Lightning's suffix where validation has several loaders
    words = set(re.split(r"[^a-z0-9]+", name.rsplit("/", 1)[-1].lower()))
    smaller, larger = bool(words & SMALLER_IS_BETTER), bool(words & LARGER_IS_BETTER)
    if smaller == larger or any(word.startswith("neg") for word in words):
        return None
    return "minimize" if smaller else "maximize"


def _directions_of(monitor: Any) -> Any:
    if isinstance(monitor, ListConfig):
        return [direction_of(str(metric)) for metric in monitor]
    return direction_of(str(monitor))


OmegaConf.register_resolver("direction_of", _directions_of, replace=True)


def _wrong_objectives(cfg: DictConfig) -> Iterator[str]:
    try:
        monitor, direction = OmegaConf.select(cfg, "monitor"), OmegaConf.select(cfg, "direction")
    except OmegaConfBaseException:
        return  # `_wrong_values` reports it
    if not _is_monitor(monitor) or not _are_directions(direction):
        return  # so it does here
    names, directions = listed(monitor), listed(direction)
    if names[0] == N_PARAMS:
        yield (
            f"monitor begins with {N_PARAMS}, which is the same after each epoch. Begin with a metric of the"
            f" validation, which chooses the best one: monitor=[val/acc,{N_PARAMS}]."
        )
    if "direction" not in cfg:
        return
    if len(names) != len(directions):
        yield (
            f"direction is {written(directions)}, but monitor is {written(names)}. Give one for each metric, such as"
            f" direction={written([direction_of(name) or 'minimize' for name in names])}."
        )
        return
    for i, (name, given) in enumerate(zip(names, directions, strict=True)):
        yield from _wrong_direction(
            name, given, ways=[written([*directions[:i], way, *directions[i + 1 :]]) for way in DIRECTIONS]
        )


def _wrong_direction(name: str, direction: str | None, *, ways: Sequence[str]) -> Iterator[str]:
    """Check one objective. `ways` are the values of `direction` with each direction in its place."""
    meant = direction_of(name)
    if direction is None:
        yield (
            f"direction is not known: the name of monitor '{name}' does not say whether it must be maximized or"
            f" minimized. Add direction={ways[0]} or direction={ways[1]}."
        )
    elif meant not in (None, direction):
        yield (
            f"direction is {direction}, but monitor is '{name}', which must be {meant}d."
            f" Set direction={ways[DIRECTIONS.index(meant)]}, or monitor another metric."
        )


def _missing_extras(cfg: DictConfig) -> Iterator[str]:
    for name, node in (OmegaConf.select(cfg, "logger") or {}).items():
        package = EXTRAS.get(current_target(node["_target_"]) if node else "")
        if package and importlib.util.find_spec(package) is None:
            yield (
                f"logger={name} needs the package {package}, which is not installed."
                f" Install it with: pip install -c constraints.txt -e '.[{package}]'"
            )
    export = OmegaConf.select(cfg, "export")
    missing = [package for package in ONNX_PACKAGES if importlib.util.find_spec(package) is None]
    if missing and isinstance(export, ListConfig) and "onnx" in export:
        yield (
            f"export=[onnx] needs {', '.join(missing)}, not installed."
            " Install what it needs with: pip install -c constraints.txt -e '.[onnx]'"
        )


def _shown(value: Any) -> str:
    return "null" if value is None else f"'{value}'" if isinstance(value, str) else str(value)
