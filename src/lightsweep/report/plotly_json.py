"""Figures in plotly's JSON: to update plotly's objects would take longer than all else in the report."""

from collections.abc import Callable
from html import escape
from typing import Any

import optuna

from lightsweep.report.trials import CannotDrawError

Figure = dict[str, Any]


def drawn_by_optuna(plot: Callable[..., Any], study: optuna.Study, **options: Any) -> Figure:
    """The figure that Optuna draws, or its own words on why it can't."""
    try:
        figure: Figure = plot(study, **options).to_dict()
    except (ValueError, RuntimeError) as error:
        raise CannotDrawError(f"Optuna could not draw this figure: {error}") from error
    return figure


def update(node: dict[str, Any], **changes: Any) -> None:
    """Change a trace, an axis or a layout as plotly's own `update` does: what it has is kept, None takes away."""
    for name, value in changes.items():
        if value is None:
            node.pop(name, None)
        elif isinstance(value, dict) and isinstance(node.get(name), dict):
            update(node[name], **value)
        else:
            node[name] = value


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
    """The place of a figure and, as the next element, its data: JSON in which `<`, `>` and `/` are escaped."""
    from plotly import io

    layout = figure["layout"]
    layout.pop("template", None)  # another one would be merged with it
    left = layout.get("margin", {}).get("l") or 8
    update(
        layout,
        template=io.templates["none"].to_plotly_json(),
        title=None,
        autosize=True,
        width=None,
        height=None,
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#3e4c59"},
        margin={"l": left, "r": 12, "t": 12, "b": 8},  # and as much as the labels need
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
    )
    style = {"gridcolor": "#e4e7eb", "zeroline": False, "automargin": True, "exponentformat": "e"}
    for kind in ("xaxis", "yaxis"):
        update_axes(figure, kind, title={"font": {"size": 13}}, **style)
    return (
        f'<div class="scroll"><div class="figure" style="height:{height}px;min-width:{min_width}px"></div>'
        f'<script type="application/json">{io.to_json(figure, validate=False)}</script></div>'
    )


def note_html(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'
