"""The HTML report of a search: one file that needs no network."""

import secrets
from collections.abc import Callable, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import optuna
from optuna.study import StudyDirection

from lightsweep.files import write_atomically
from lightsweep.report import figures, tables
from lightsweep.report.plotly_figure import Drawing, note_html, quiet_optuna
from lightsweep.report.snapshot import NothingToShowError, StudySnapshot

REPORT = "report.html"  # in the folder of a search
SECTIONS: dict[str, tuple[str, Callable[[StudySnapshot], str | Drawing]]] = {  # by anchor
    "best": ("Best hyperparameters", tables.best_params),
    "history": ("Optimization history", figures.history),
    "curves": ("Learning curves", figures.curves),
    "importances": ("Hyperparameter importances", figures.importances),
    "parallel": ("Parallel coordinates", figures.parallel),
    "slices": ("Slices", figures.slices),
    "timeline": ("Timeline", figures.timeline),
    "trials": ("Trials", tables.trials),
}


def write_report(
    study: optuna.Study, path: Path, *, title: str, monitor: str, overview: Mapping[str, str], step: str = "epoch"
) -> None:
    """Write the finished trials of a study as a page, with the labels and texts of `overview` at its top.

    Trials reported values once per `step`.
    A section that can't be drawn holds the reason instead. Names, values and reasons of the study are untrusted
    input and never become markup or code: they are escaped, and the page's policy runs its own scripts only.
    """
    from plotly.offline import get_plotlyjs

    snapshot = StudySnapshot.of(study, monitor=monitor, step=step)
    with quiet_optuna():
        sections = [_section(anchor, snapshot) for anchor in SECTIONS]
    page = Template(_file("page.html")).substitute(
        nonce=secrets.token_urlsafe(16),
        title=escape(title),
        monitor=escape(monitor),
        aim="highest" if study.direction == StudyDirection.MAXIMIZE else "lowest",
        links="".join(f'<a href="#{anchor}">{heading}</a>' for anchor, (heading, _) in SECTIONS.items()),
        overview="".join(
            f'<div class="{"wide" if len(text) > 36 else ""}"><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>'
            for label, text in overview.items()
        ),
        sections="\n".join(sections),
        css=_file("page.css"),
        js=_file("page.js"),
        plotly_js=get_plotlyjs(),
    )
    write_atomically(path, page)


def _section(anchor: str, snapshot: StudySnapshot) -> str:
    heading, build_body = SECTIONS[anchor]
    try:
        built = build_body(snapshot)
        body = built if isinstance(built, str) else built.html()
    except NothingToShowError as reason:
        body = note_html(str(reason))
    return f'<section id="{anchor}">\n<h2>{heading}</h2>\n{body}\n</section>'


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
