"""Figures as plotly's JSON. Updating plotly's objects instead would take longer than the rest of the report."""

import copy
from collections.abc import Callable
from html import escape
from typing import Any

import optuna

from lightsweep.report.snapshot import NothingToShowError

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


def figure_html(figure: Figure, *, height: int = 360, min_width: int = 0) -> str:
    """Return an empty `div` for page.js to draw in, and after it the figure: JSON that escapes `<`, `>` and `/`."""
    from plotly import io

    layout = figure["layout"]
    left = layout.get("margin", {}).get("l") or 8
    update(layout, template=None)  # `update` would merge it with the next one
    update(layout, template=io.templates["none"].to_plotly_json(), **LAYOUT)
    update(layout, margin={"l": left, "r": 12, "t": 12, "b": 8})  # automargin adds the room for labels
    for kind in ("xaxis", "yaxis"):
        update_axes(figure, kind, **AXIS)
    return (
        f'<div class="scroll"><div class="figure" style="height:{height}px;min-width:{min_width}px"></div>'
        f'<script type="application/json">{io.to_json(figure, validate=False)}</script></div>'
    )


def note_html(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'
