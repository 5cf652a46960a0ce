"""The model card: what a model was made from, how good it is, and how it treats unusual rows."""

import html
import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from lightsweep.config.fingerprint import environment
from lightsweep.data.preprocessing import LIBRARIES
from lightsweep.data.target import Target
from lightsweep.direction import objective_text
from lightsweep.files import write_atomically

CARD = "model_card.md"
CONFUSION = "confusion_matrix.svg"
RESIDUALS = "residuals.svg"

MAX_NAMES = 20
MAX_CLASSES = 20  # a wider confusion matrix is unreadable as a table
INSTALL_MATPLOTLIB = "pip install -c constraints.txt -e '.[pictures]'"
HYPERPARAMETERS = ("model", "optimizer", "data.batch_size", "trainer.max_epochs")
LOCAL_SETTINGS = ("data.cache", "data.relative_to")  # paths of the machine


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """The content of a card; `metrics` and `rows` are by split, `columns` are names by kind.

    `intervals` are the 95 % intervals of test metrics.

    `defaults` holds the values that the model chose for settings that are null. `predicted` `(n, d_out)` and `actual`
    are of the test split, and None if the output has another shape. `search` holds the entries of the result file, and
    is empty for a single run. `trained_on` names the rows of the refit, and `refit_failed` is the
    reason why the model is the best trial's checkpoint instead. `exports` and `limits` are list items.
    """

    config: DictConfig
    metrics: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    target: Target | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    trained_on: str = ""
    refit_failed: str | None = None
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    predicted: Tensor | None = None
    actual: Tensor | None = None
    search: Mapping[str, Any] = field(default_factory=dict)
    exports: Sequence[str] = ()
    limits: Sequence[str] = ()


def write_card(folder: Path, card: ModelCard) -> None:
    """Write `model_card.md`, and a plot of the errors if Matplotlib is installed. Names from data are escaped."""
    title = f"Model of the search {plain(card.search['study_name'])}" if card.search else "Model"
    hyperparameters = [*_settings(card.config, HYPERPARAMETERS), *card.defaults.items()]
    sections = {
        "Use": _use(card) if card.target else "",
        "Task": _task(card.target) if card.target else "",
        "Data": _data(card),
        "Metrics": "\n\n".join([*_metrics(card), *_errors(folder, card)]),
        "Hyperparameters": _table(("parameter", "value"), hyperparameters),
        "Search": _search(card.search) if card.search else "",
        "Exports": _list(card.exports),
        "Limits": _list(card.limits),
        "Seed and versions": _versions(card),
    }
    parts = [f"## {heading}\n\n{text}" for heading, text in sections.items() if text]
    write_atomically(folder / CARD, "\n\n".join([f"# {title}", *parts]) + "\n")


def plain(text: object) -> str:
    """Return the text on one line, escaped so that Markdown shows it literally, also in a table."""
    line = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\`*_{}\[\]|#~!$])", r"\\\1", line)


def _use(card: ModelCard) -> str:
    rows = "a DataFrame with the columns below" if card.columns else "an array, one row of features each"
    return (
        "```python\nimport lightsweep\n\nmodel = lightsweep.load(folder)  # the folder of this file\n"
        f"model.predict(rows)  # {rows}, raw\n```"
    )


def _task(target: Target) -> str:
    if target.task.is_regression:
        return plain(f"Regression of {_names(target.names)}, in the unit of the data.")
    of = f" of {_names(target.names)}" if target.names else ""
    classes = f"{len(target.classes)} classes, {_names(target.classes)}"
    return plain(f"{target.task.capitalize()} classification{of}: {classes}.")


def _data(card: ModelCard) -> str:
    parts = [_table(("setting", "value"), _settings(card.config, ("data",)))]
    if card.trained_on:
        failed = f" The refit failed: {plain(card.refit_failed)}" if card.refit_failed else ""
        parts.append(f"Trained on {plain(card.trained_on)}.{failed}")
    if card.rows:
        parts.append(_table(("split", "rows"), card.rows.items()))
    if card.columns:
        columns = [(kind, len(names), _names(names)) for kind, names in card.columns.items() if names]
        parts.append(_table(("kind of column", "columns", "names"), columns))
    return "\n\n".join(parts)


def _metrics(card: ModelCard) -> list[str]:
    names = sorted({name for metrics in card.metrics.values() for name in metrics})
    rows = [(split, *(_number(metrics.get(name)) for name in names)) for split, metrics in card.metrics.items()]
    table = _table(("split", *(name.removeprefix("test/") for name in names)), rows)
    texts = [table, *map(_interval, card.intervals.items())]
    if not card.search:
        return texts
    best = f"{plain(card.search['monitor'])} {_number(card.search['best_value'])}"
    before = "" if card.refit_failed else " before the refit,"
    texts.append(f"In the search,{before} its trial reached {best} on the validation split.")
    return [*texts, *_front(card.search), *_confirmed(card.search.get("confirmed"))]


def _front(search: Mapping[str, Any]) -> list[str]:
    """Return a table of the Pareto front, nothing for a search with one objective."""
    front = search.get("front")
    if not front:
        return []
    rows = [(trial["trial"], *map(objective_text, trial["values"].values())) for trial in front]
    text = (
        f"The model is that of trial {search['best_trial']}, which ship={search['ship']} chose from the Pareto front:"
    )
    return [plain(text), _table(("trial", *map(plain, front[0]["values"])), rows)]


def _interval(item: tuple[str, tuple[float, float]]) -> str:
    name, (low, high) = item
    return f"95 % interval of {name}, by the bootstrap over the test rows: {_number(low)} to {_number(high)}."


def _confirmed(confirmed: Any) -> list[str]:
    """Return a table of the candidates that were trained again with other seeds."""
    if not isinstance(confirmed, Mapping):
        return []
    rows = [
        (
            f"{candidate['trial']}{' (the defaults)' if candidate['is_defaults'] else ''}",
            _number(candidate["searched"]),
            f"{_number(candidate['mean'])} ± {_number(candidate['half_width'])}",
        )
        for candidate in confirmed["candidates"]
    ]
    table = _table(("trial", "in the search", "mean of other seeds, 95 % interval"), rows)
    return [f"After the search, the best trials and the defaults were trained again: {plain(confirmed['why'])}.", table]


def _errors(folder: Path, card: ModelCard) -> list[str]:
    """Plot the errors on the test split and return the paragraphs that show them."""
    if card.target is None or card.predicted is None or card.actual is None:
        return []
    if card.target.task.is_regression:
        return _residuals(folder / RESIDUALS, card.target, predicted=card.predicted, actual=card.actual)
    return _confusion(folder / CONFUSION, card.target, predicted=card.predicted, actual=card.actual)


def _residuals(path: Path, target: Target, *, predicted: Tensor, actual: Tensor) -> list[str]:
    if not _has_matplotlib():
        return [f"A plot of predicted and actual values needs Matplotlib: `{INSTALL_MATPLOTLIB}`."]
    from lightsweep.export.plots import draw_residuals

    draw_residuals(path, actual=actual.double().numpy(), predicted=predicted.double().numpy(), targets=target.names)
    return [f"![Predicted and actual values of the test split]({path.name})"]


def _confusion(path: Path, target: Target, *, predicted: Tensor, actual: Tensor) -> list[str]:
    n = len(target.classes)
    pairs = actual.numpy() * n + predicted.argmax(dim=1).numpy()
    counts = np.bincount(pairs, minlength=n * n).reshape(n, n)
    if _has_matplotlib():
        from lightsweep.export.plots import draw_confusion

        draw_confusion(path, counts, classes=target.classes)
        return [f"![Confusion matrix of the test split]({path.name})"]
    hint = f"A plot of the confusion matrix needs Matplotlib: `{INSTALL_MATPLOTLIB}`."
    if n > MAX_CLASSES:
        return [hint]
    header = ("actual", *(f"predicted {plain(name)}" for name in target.classes))
    rows = [(name, *row) for name, row in zip(target.classes, counts.tolist(), strict=True)]
    return ["Confusion matrix of the test split:", _table(header, rows), hint]


def _has_matplotlib() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def _search(search: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{n} {status}" for status, n in search["n_trials"].items() if status != "finished")
    rows = [
        ("study", search["study_name"]),
        ("trials", f"{search['n_trials']['finished']} ({counts})"),
        ("best trial", search["best_trial"]),
        *((f"{name} (searched)", value) for name, value in search["best_params"].items()),
        ("train the trial again", search["command"]),
    ]
    return _table(("", ""), rows)


def _versions(card: ModelCard) -> str:
    of_tables = {f"version of {name}": version(name) for name in LIBRARIES} if card.columns else {}
    return _table(("", ""), {"seed": card.config.seed, **environment(), **of_tables}.items())


def _settings(config: DictConfig, keys: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Yield key and value of each setting below these keys that is not null."""
    for key in keys:
        value = OmegaConf.select(config, key)
        if isinstance(value, DictConfig):
            yield from _settings(config, [f"{key}.{name!s}" for name in value])
        elif value is not None and key not in LOCAL_SETTINGS:
            yield key, value


def _names(names: Sequence[int | str]) -> str:
    shown = ", ".join(str(name) for name in names[:MAX_NAMES])
    return f"{shown} and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else shown


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if abs(value) < 1000 else f"{value:.6g}"


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {plain(item)}" for item in items)


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *([plain(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
