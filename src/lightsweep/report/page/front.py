"""The Pareto front of a study with several objectives."""

from html import escape

from lightsweep.report import figures
from lightsweep.report.page.content import ReportContent
from lightsweep.report.page.html import table
from lightsweep.report.plotly_figure import note_html
from lightsweep.report.snapshot import NothingToShowError


def section(content: ReportContent) -> str:
    """Return the figure and the table of the front."""
    snapshot = content.snapshot
    snapshot.require_complete()
    try:
        drawing = figures.front(snapshot).html()
    except NothingToShowError as reason:  # more objectives than Optuna can draw
        drawing = note_html(str(reason))
    head, *rows = snapshot.front.rows(snapshot.objectives, rule=snapshot.ship)
    cells = [
        [content.link(trial), *map(escape, texts)]
        for trial, (_, *texts) in zip(snapshot.front.trials, rows, strict=True)
    ]
    return drawing + table(cells, head=head, kind="values")
