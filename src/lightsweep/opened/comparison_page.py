"""The comparison of several searches as a page: the tables, and the best value so far over trials and over time."""

from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from lightsweep.opened.compared import ComparedSearch, Point
from lightsweep.opened.comparison import ComparisonTable, problem_of, tables_of
from lightsweep.report.page.document import Section, write_page
from lightsweep.report.plotly_figure import Drawing, Figure, Panel, fit_y_axis, note_html, whole_ticks
from lightsweep.report.snapshot import NothingToShowError, escape_markup
from lightsweep.report.value_range import ValueRange

# Okabe and Ito's, which people who see few colours can tell apart; then each again with dashes.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#808080")
DASHES = ("solid", "dash", "dot")
UNITS = ((7200.0, 3600.0, "hours"), (120.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))  # from so many seconds on


def write_comparison(searches: Sequence[ComparedSearch], path: Path) -> None:
    """Write the page. All texts of the searches are escaped."""
    results, *differences = tables_of(searches)
    labels = [search.label for search in searches]
    sections = [
        Section(anchor="results", heading=results.heading, body=_table_html(results, labels)),
        Section.of("trials", "Best so far over trials", build=partial(_over_trials, searches)),
        Section.of("time", "Best so far over time", build=partial(_over_time, searches)),
        *(
            Section(anchor=f"differences-{i}", heading=table.heading, body=_table_html(table, labels))
            for i, table in enumerate(differences)
        ),
    ]
    write_page(
        path,
        title=f"Comparison of {len(searches)} searches",
        heading=f"Comparison of {len(searches)} searches",
        lead=escape(problem_of(searches) or "Below the figures: what differs in what was searched and how."),
        sections=sections,
    )


def _table_html(table: ComparisonTable, labels: Sequence[str]) -> str:
    if not table.rows:
        return note_html(table.note.capitalize())
    head = "".join(f"<th>{escape(label)}</th>" for label in ("", *labels))
    rows = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for name, cells in table.rows.items()
    )
    return (
        f'<div class="scroll"><table class="params"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _over_trials(searches: Sequence[ComparedSearch]) -> Drawing:
    figure = _lines(searches, x=lambda point: point.n_finished, title="finished trials")
    figure["layout"]["xaxis"] |= whole_ticks(max(max(trace["x"]) for trace in figure["data"]))
    note = "The best value after each finished trial, in the order in which they finished."
    return Drawing(note=note, panels=[Panel(figure=figure, alt=note)])


def _over_time(searches: Sequence[ComparedSearch]) -> Drawing:
    longest = max((point.seconds for search in searches for point in search.progress()), default=0.0)
    size, unit = next((size, unit) for least, size, unit in UNITS if longest >= least)
    figure = _lines(searches, x=lambda point: point.seconds / size, title=f"{unit} since the first trial began")
    note = "The best value over the time of the clock. A search that was stopped and resumed has its pause in it."
    return Drawing(note=note, panels=[Panel(figure=figure, alt=note)])


def _lines(searches: Sequence[ComparedSearch], *, x: Callable[[Point], float], title: str) -> Figure:
    """Draw a line per search. Raise `NothingToShowError` if there is none, or they can't be compared."""
    if problem := problem_of(searches):
        raise NothingToShowError(problem)
    progress = [search.progress() for search in searches]
    if not any(progress):
        raise NothingToShowError("No trial has completed with a finite value.")
    traces = [
        _trace(search, points, i=i, x=x)
        for i, (search, points) in enumerate(zip(searches, progress, strict=True))
        if points
    ]
    monitor = escape_markup(searches[0].monitor)
    layout: dict[str, Any] = {"xaxis": {"title": {"text": title}}, "yaxis": {"title": {"text": monitor}}}
    figure: Figure = {"data": traces, "layout": {**layout, "showlegend": True}}
    values = [point.best for points in progress for point in points]
    fit_y_axis(figure, ValueRange.of(values, direction=searches[0].direction))
    return figure


def _trace(search: ComparedSearch, points: Sequence[Point], *, i: int, x: Callable[[Point], float]) -> dict[str, Any]:
    dash = DASHES[i // len(COLORS) % len(DASHES)]
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(points) == 1 else "lines",
        "name": escape_markup(search.label),
        "x": [x(point) for point in points],
        "y": [point.best for point in points],
        "line": {"shape": "hv", "width": 2, "color": COLORS[i % len(COLORS)], "dash": dash},
        "hovertemplate": "%{x:.4g}: %{y:.4g}",
    }
