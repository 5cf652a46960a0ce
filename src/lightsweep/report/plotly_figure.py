"""Figures as plotly's JSON. Updating plotly's objects instead would take longer than the rest of the report."""

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import optuna

from lightsweep.report.snapshot import NothingToShowError
from lightsweep.report.value_range import ValueRange

Figure = dict[str, Any]

# Each has a contrast of at least 3 on white and on the dark page.
COLORS = {"complete": "#4378dd", "pruned": "#8390a0", "failed": "#dc4c57", "best": "#e8710a"}
WORST_TO_BEST = [[0.0, "#97a5b8"], [0.6, COLORS["complete"]], [1.0, COLORS["best"]]]
EARLY_TO_LATE = [[0.0, "#a3b8dc"], [1.0, "#2c64d2"]]

LAYOUT = {
    "title": None,
    "autosize": True,
    "width": None,
    "height": None,
    "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#3e4c59"},
    "legend": {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
}
AXIS = {
    "title": {"font": {"size": 13}},
    "gridcolor": "#e4e7eb",
    "zeroline": False,
    "automargin": True,
    "exponentformat": "e",
}


def draw(plot: Callable[..., Any], study: optuna.Study, **options: Any) -> Figure:
    """Return the figure of one of Optuna's plot functions; raise `NothingToShowError` with Optuna's reason."""
    try:
        figure: Figure = plot(study, **options).to_dict()
    except (ValueError, RuntimeError) as error:
        raise NothingToShowError(f"Optuna could not draw this figure: {error}") from error
    return figure


def update(node: dict[str, Any], **changes: Any) -> None:
    """Merge the changes into a trace, an axis or a layout; None removes an entry."""
    for name, value in changes.items():
        if value is None:
            node.pop(name, None)
        elif isinstance(value, dict) and isinstance(node.get(name), dict):
            update(node[name], **value)
        else:
            node[name] = copy.deepcopy(value)  # a constant such as AXIS goes into several figures


def update_traces(figure: Figure, **changes: Any) -> None:
    for trace in figure["data"]:
        update(trace, **changes)


def update_axes(figure: Figure, kind: str, **changes: Any) -> None:
    """Change all axes of a kind, `xaxis` or `yaxis`."""
    layout = figure["layout"]
    layout.setdefault(kind, {})
    for name in layout:
        if name.startswith(kind):
            update(layout[name], **changes)


def whole_ticks(largest: int) -> dict[str, int]:
    """Return the axis setting that keeps plotly from labels such as 0.5 on a short axis of integers from 0."""
    return {"dtick": 1} if largest <= 10 else {}


def fit_y_axis(figure: Figure, shown: ValueRange) -> None:
    for trace in figure["data"]:
        shown.clip_trace(trace)
    if shown.needs_log:
        update_axes(figure, "yaxis", type="log", dtick=1)


def outside_note(shown: ValueRange, values: Iterable[float]) -> str:
    """Return a sentence for the note if values lie outside of the axis."""
    n = sum(not shown.holds(value) for value in values)
    if n == 1:
        return " One value far from the others is drawn at the edge; its hover text tells it."
    return f" {n:,} values far from the others are drawn at the edge; their hover text tells them." if n else ""


def sampled_note(drawn: Sequence[object], of: Sequence[object], *, what: str) -> str:
    """Return a sentence for the note if not everything is drawn."""
    return "" if len(drawn) == len(of) else f" {len(drawn):,} of {len(of):,} {what} are drawn, evenly spread."


def cut(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:22]}…"


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Silence what Optuna logs and warns of while it draws; the figures give the reasons themselves."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # includes Optuna's ExperimentalWarning
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One figure, with its size in pixels. `name` tells it from the others of its drawing.

    `alt` says what the figure shows, for readers who don't see it.
    """

    figure: Figure
    alt: str
    name: str = ""
    height: int = 360
    min_width: int = 0

    def styled(self) -> Figure:
        """Return the figure in the style of the report. The figure itself gets it, too."""
        figure = self.figure
        layout = figure["layout"]
        left = layout.get("margin", {}).get("l") or 8
        update(layout, template=None)  # `update` would merge it with the next one
        update(layout, template=_template(), **LAYOUT)
        update(layout, margin={"l": left, "r": 12, "t": 12, "b": 8})  # automargin adds the room for labels
        for kind in ("xaxis", "yaxis"):
            update_axes(figure, kind, **AXIS)
        return figure

    def html(self) -> str:
        """Return an empty `div` for page.js to draw in, and after it the figure: JSON that escapes `<`, `>` and `/`."""
        from plotly import io

        size = f"height:{self.height}px;min-width:{self.min_width}px"
        return (
            f'<div class="scroll"><div class="figure" role="img" aria-label="{escape(self.alt)}" style="{size}"></div>'
            f'<script type="application/json">{io.to_json(self.styled(), validate=False)}</script></div>'
        )


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What a section of the report draws: a note, and one figure or, as a grid, several small ones."""

    note: str
    panels: Sequence[Panel]
    is_grid: bool = False

    def html(self) -> str:
        figures = "".join(panel.html() for panel in self.panels)
        return note_html(self.note) + (f'<div class="grid">{figures}</div>' if self.is_grid else figures)


def _template() -> dict[str, Any]:
    from plotly import io

    template: dict[str, Any] = io.templates["none"].to_plotly_json()
    return template


def note_html(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'
