"""The HTML report of a search: one file that needs no network."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
    "front": ("Pareto front", tables.front),  # of several objectives
    "history": ("Optimization history", figures.history),
    "curves": ("Learning curves", figures.curves),
    "importances": ("Hyperparameter importances", figures.importances),
    "parallel": ("Parallel coordinates", figures.parallel),
    "slices": ("Slices", figures.slices),
    "timeline": ("Timeline", figures.timeline),
    "pruners": ("What other pruners would have done on this study", tables.pruners),
    "trials": ("Trials", tables.trials),
}


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page. `body` is HTML."""

    anchor: str
    heading: str
    body: str

    @classmethod
    def of(cls, anchor: str, heading: str, *, build: Callable[[], str | Drawing]) -> "Section":
        """Build the body; if there is nothing to show, it is the reason."""
        try:
            built = build()
            body = built if isinstance(built, str) else built.html()
        except NothingToShowError as reason:
            body = note_html(str(reason))
        return cls(anchor=anchor, heading=heading, body=body)

    def html(self) -> str:
        return f'<section id="{self.anchor}">\n<h2>{self.heading}</h2>\n{self.body}\n</section>'


def write_report(
    study: optuna.Study, path: Path, *, title: str, monitor: str, overview: Mapping[str, str], step: str = "epoch"
) -> None:
    """Write the finished trials of a study as a page, with the labels and texts of `overview` at its top.

    Trials reported values once per `step`. A section that can't be drawn holds the reason instead.
    """
    snapshot = StudySnapshot.of(study, monitor=monitor, step=step)
    aims = ["highest" if direction == StudyDirection.MAXIMIZE else "lowest" for direction in study.directions]
    objectives = zip(aims, snapshot.objectives, strict=True)
    with quiet_optuna():
        sections = [
            Section.of(anchor, heading, build=partial(build, snapshot))
            for anchor, (heading, build) in SECTIONS.items()
            if snapshot.further or anchor != "front"
        ]
    write_page(
        path,
        title=f"{title} · {monitor}",
        heading=title,
        lead="A search for "
        + " and ".join(f"the {aim} <code>{escape(objective)}</code>" for aim, objective in objectives),
        overview=overview,
        sections=sections,
    )


def write_page(
    path: Path, *, title: str, heading: str, lead: str, overview: Mapping[str, str], sections: Sequence[Section]
) -> None:
    """Write a page that needs no network. `lead` is HTML, as the bodies of the sections are.

    Names, values and reasons of a study are untrusted input and never become markup or code: they are escaped, and the
    page's policy runs its own scripts only.
    """
    from plotly.offline import get_plotlyjs

    page = Template(_file("page.html")).substitute(
        nonce=secrets.token_urlsafe(16),
        title=escape(title),
        heading=escape(heading),
        lead=lead,
        links="".join(f'<a href="#{section.anchor}">{section.heading}</a>' for section in sections),
        overview="".join(
            f'<div class="{"wide" if len(text) > 36 else ""}"><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>'
            for label, text in overview.items()
        ),
        sections="\n".join(section.html() for section in sections),
        css=_file("page.css"),
        js=_file("page.js"),
        plotly_js=get_plotlyjs(),
    )
    write_atomically(path, page)


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
