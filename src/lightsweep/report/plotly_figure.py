"""Figures as plotly's JSON. Updating plotly's objects instead would take longer than the rest of the report."""

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import optuna

from lightsweep.report.snapshot import NothingToShowError
from lightsweep.report.value_range import ValueRange

Figure = dict[str, Any]

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
    """One figure, with its size in pixels. `name` tells it from the others of its drawing."""

    figure: Figure
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
            f'<div class="scroll"><div class="figure" style="{size}"></div>'
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
