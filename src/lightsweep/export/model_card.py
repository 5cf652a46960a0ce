"""The page that goes with a shipped model: from what it was made, how good it is, and what it does with odd rows."""

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
from lightsweep.files import write_atomically

CARD = "model_card.md"
CONFUSION = "confusion_matrix.svg"
RESIDUALS = "residuals.svg"

MAX_NAMES = 20
MAX_CLASSES = 20  # up to which the confusion matrix is readable as a table
DRAW_WITH = "pip install -c constraints.txt -e '.[pictures]'"
OF_THIS_MACHINE = ("data.cache", "data.relative_to")
OF_THE_MODEL = ("model", "optimizer", "data.batch_size", "trainer.max_epochs")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a card tells. `metrics` and `rows` are by split; `columns` holds the names of the columns of each kind.

    `found` has what became of settings of the model that were null.
    `predicted` `(n, n_classes or n_targets)` and `actual` are of the test split, None if the output is neither. Of data
    of the user's own kind no more is known than the config.
    `search` is what the results file of a search says, empty for a single run; `exports` and `limits` are sentences.
    """

    config: DictConfig
    metrics: Mapping[str, Mapping[str, float]]
    target: Target | None = None
    found: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    predicted: Tensor | None = None
    actual: Tensor | None = None
    search: Mapping[str, Any] = field(default_factory=dict)
    exports: Sequence[str] = ()
    limits: Sequence[str] = ()


def write_card(folder: Path, facts: Facts) -> None:
    """Write `model_card.md` and its picture. Names that come from data never become markup.

    Without Matplotlib the confusion matrix is a table, of at most `MAX_CLASSES` classes.
    """
    sections = {
        "Use": _use(facts) if facts.target else "",
        "Task": _task(facts.target) if facts.target else "",
        "Data": _data(facts),
        "Metrics": _metrics(folder, facts),
        "Hyperparameters": _table(("parameter", "value"), [*_values(facts.config, OF_THE_MODEL), *facts.found.items()]),
        "Search": _search(facts.search),
        "Exports": _list(facts.exports),
        "Limits": _list(facts.limits),
        "Seed and versions": _versions(facts),
    }
    parts = [f"## {title}\n\n{text}" for title, text in sections.items() if text]
    write_atomically(folder / CARD, "\n\n".join([f"# {_title(facts)}", *parts]) + "\n")


def plain(text: object) -> str:
    """The text as Markdown shows it literally, in one line, also within a table."""
    line = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\`*_{}\[\]|#~!$])", r"\\\1", line)


def _title(facts: Facts) -> str:
    return f"Model of the search {plain(facts.search['study_name'])}" if facts.search else "Model"


def _use(facts: Facts) -> str:
    rows = "a DataFrame with the columns below" if facts.columns else "an array, one row of features each"
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


def _data(facts: Facts) -> str:
    parts = [_table(("setting", "value"), _values(facts.config, ("data",)))]
    if facts.rows:
        parts.append(_table(("split", "rows"), facts.rows.items()))
    if facts.columns:
        columns = [(kind, len(names), _names(names)) for kind, names in facts.columns.items() if names]
        parts.append(_table(("kind of column", "columns", "names"), columns))
    return "\n\n".join(parts)


def _metrics(folder: Path, facts: Facts) -> str:
    names = sorted({name for metrics in facts.metrics.values() for name in metrics})
    rows = [(split, *(_number(of.get(name)) for name in names)) for split, of in facts.metrics.items()]
    parts = [_table(("split", *(name.removeprefix("test/") for name in names)), rows)]
    if facts.search:
        best = f"{plain(facts.search['monitor'])} {_number(facts.search['best_value'])}"
        parts.append(f"In the search, before the refit, its trial reached {best} on the validation split.")
    return "\n\n".join([*parts, *_errors(folder, facts)])


def _errors(folder: Path, facts: Facts) -> list[str]:
    """What the model gets wrong on the test split: a picture if Matplotlib is installed."""
    if facts.target is None or facts.predicted is None or facts.actual is None:
        return []
    if facts.target.task.is_regression:
        return _residuals(folder / RESIDUALS, facts.target, predicted=facts.predicted, actual=facts.actual)
    return _confusion(folder / CONFUSION, facts.target, predicted=facts.predicted, actual=facts.actual)


def _residuals(path: Path, target: Target, *, predicted: Tensor, actual: Tensor) -> list[str]:
    if not has_matplotlib():
        return [f"A picture of predicted and actual values needs Matplotlib: `{DRAW_WITH}`."]
    from lightsweep.export.pictures import draw_residuals

    draw_residuals(path, actual=actual.double().numpy(), predicted=predicted.double().numpy(), targets=target.names)
    return [f"![Predicted and actual values of the test split]({path.name})"]


def _confusion(path: Path, target: Target, *, predicted: Tensor, actual: Tensor) -> list[str]:
    n = len(target.classes)
    pairs = actual.numpy() * n + predicted.argmax(dim=1).numpy()
    counts = np.bincount(pairs, minlength=n * n).reshape(n, n)
    if has_matplotlib():
        from lightsweep.export.pictures import draw_confusion

        draw_confusion(path, counts, classes=target.classes)
        return [f"![Confusion matrix of the test split]({path.name})"]
    how = f"A picture of the confusion matrix needs Matplotlib: `{DRAW_WITH}`."
    if n > MAX_CLASSES:
        return [how]
    header = ("actual", *(f"predicted {plain(name)}" for name in target.classes))
    rows = [(name, *row) for name, row in zip(target.classes, counts.tolist(), strict=True)]
    return ["Confusion matrix of the test split:", _table(header, rows), how]


def has_matplotlib() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def _search(search: Mapping[str, Any]) -> str:
    if not search:
        return ""
    counts = ", ".join(f"{n} {fate}" for fate, n in search["n_trials"].items() if fate != "finished")
    rows = [
        ("study", search["study_name"]),
        ("trials", f"{search['n_trials']['finished']} ({counts})"),
        ("best trial", search["best_trial"]),
        *((f"{name} (searched)", value) for name, value in search["best_params"].items()),
        ("the trial again", search["command"]),
    ]
    return _table(("", ""), rows)


def _versions(facts: Facts) -> str:
    of_tables = {f"version of {name}": version(name) for name in LIBRARIES} if facts.columns else {}
    rows = {"seed": facts.config.seed, **environment(), **of_tables}
    return _table(("", ""), rows.items())


def _values(config: DictConfig, keys: Iterable[str]) -> Iterator[tuple[str, Any]]:
    for key in keys:
        value = OmegaConf.select(config, key)
        if isinstance(value, DictConfig):
            yield from _values(config, [f"{key}.{name!s}" for name in value])
        elif value is not None and key not in OF_THIS_MACHINE:
            yield key, value


def _names(names: Sequence[int | str]) -> str:
    shown = ", ".join(str(name) for name in names[:MAX_NAMES])
    return f"{shown} and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else shown


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if abs(value) < 1000 else f"{value:.6g}"


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {plain(item)}" for item in items)


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *([plain(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
