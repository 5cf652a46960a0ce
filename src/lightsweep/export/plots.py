"""Plots of a model's errors on the test split. Imported where one is drawn, because Matplotlib is optional."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightsweep.files import replacing

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]

MAX_CLASSES_WITH_COUNTS = 20  # more cells are too small for a count
MAX_CLASSES_WITH_NAMES = 50  # more names overlap
MAX_NAME_LENGTH = 20
MAX_DOTS = 2000
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "lightsweep"}  # searchable text, reproducible files


def draw_confusion(path: Path, counts: Ints, *, classes: Sequence[int | str]) -> None:
    """Draw the confusion matrix `counts[actual, predicted]`, shaded by the share of each row."""
    n = len(classes)
    labels = [_short(name) for name in classes] if n <= MAX_CLASSES_WITH_NAMES else []
    # In inches.
    side = 0.34 * min(max(n, 4), MAX_CLASSES_WITH_COUNTS)
    margin = 0.6 + 0.09 * max(map(len, labels), default=0)
    size = margin + side + 0.15
    figure = Figure(figsize=(size, size))
    axes = figure.add_axes((margin / size, margin / size, side / size, side / size))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if n <= MAX_CLASSES_WITH_COUNTS:
        _write_counts(axes, counts, shares)
    if labels:
        axes.set_xticks(range(n), labels, rotation=90, parse_math=False)  # a name may hold dollar signs
        axes.set_yticks(range(n), labels, parse_math=False)
    axes.set(xlabel="predicted", ylabel="actual")
    _save(figure, path)


def draw_residuals(path: Path, *, actual: Floats, predicted: Floats, targets: Sequence[str]) -> None:
    """Draw actual against predicted values, `(n, n_targets)` each, with one plot per target."""
    n = len(targets)
    figure = Figure(figsize=(4.2 * n, 4))
    rows = np.linspace(0, len(actual) - 1, min(len(actual), MAX_DOTS)).astype(np.int64)
    for i, name in enumerate(targets):
        axes = figure.add_axes(((i + 0.19) / n, 0.14, 0.78 / n, 0.76))
        axes.scatter(predicted[rows, i], actual[rows, i], s=8, alpha=0.5, linewidths=0)
        low, high = actual[:, i].min(), actual[:, i].max()
        axes.plot([low, high], [low, high], color="#7b8694", linewidth=1)  # where predictions are exact
        axes.set_title(_short(name), parse_math=False)
        axes.set(xlabel="predicted", ylabel="actual")
    _save(figure, path)


def _write_counts(axes: Axes, counts: Ints, shares: Floats) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color)


def _short(name: int | str) -> str:
    text = " ".join(str(name).split())
    return text if len(text) <= MAX_NAME_LENGTH else text[: MAX_NAME_LENGTH - 1] + "…"


def _save(figure: Figure, path: Path) -> None:
    with mpl.rc_context(STYLE), warnings.catch_warnings(), replacing(path) as temporary:
        warnings.simplefilter("ignore")  # of glyphs that the font lacks: the text is drawn by the reader's program
        figure.savefig(temporary, format="svg", metadata={"Date": None})
