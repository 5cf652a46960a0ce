"""The report of a search: the sections in the order of a reader's questions."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import optuna

from lightsweep.report import figures, slices
from lightsweep.report.page import best, commands, failures, front, pruning, trials_table
from lightsweep.report.page.content import ReportContent, Running
from lightsweep.report.page.document import Section, write_page
from lightsweep.report.page.recorded import RecordedResults
from lightsweep.report.plotly_figure import Drawing, quiet_optuna
from lightsweep.report.snapshot import StudySnapshot

REPORT = "report.html"  # in the folder of a search

Build = Callable[[ReportContent], str | Drawing]


def _of_snapshot(draw: Callable[[StudySnapshot], Drawing]) -> Build:
    return lambda content: draw(content.snapshot)


# By anchor: the question as a heading, and below it the sections with their headings.
GROUPS: dict[str, tuple[str, dict[str, tuple[str, Build]]]] = {
    "result": (
        "The best model",
        {
            "overview": ("At a glance", best.overview),
            "best": ("Best hyperparameters", best.hyperparameters),
            "confirmation": ("Confirmation", best.confirmation),
            "test": ("Test of the exported model", best.test_metrics),
            "front": ("Pareto front", front.section),
            "history": ("Optimization history", _of_snapshot(figures.history)),
        },
    ),
    "matters": (
        "What matters",
        {
            "importances": ("Hyperparameter importances", _of_snapshot(figures.importances)),
            "slices": ("Slices", _of_snapshot(slices.slices)),
            "parallel": ("Parallel coordinates", _of_snapshot(figures.parallel)),
        },
    ),
    "saved": (
        "What pruning saved",
        {
            "pruning": ("Pruned trials", pruning.section),
            "pruners": ("Other pruners", pruning.others),
            "curves": ("Learning curves", _of_snapshot(figures.curves)),
        },
    ),
    "failed": ("What failed", {"failures": ("Failures by reason", failures.section)}),
    "use": ("Use, reproduce, continue", {"commands": ("Commands", commands.section)}),
    "all": (
        "All trials",
        {
            "trials": ("Trials", trials_table.section),
            "timeline": ("Timeline", _of_snapshot(figures.timeline)),
        },
    ),
}


def write_report(
    study: optuna.Study,
    path: Path,
    *,
    title: str,
    monitor: str,
    step: str = "epoch",
    folder: Path | None = None,
    n_trials: int | None = None,
    running: Running | None = None,
) -> None:
    """Write the finished trials of a study as a page.

    `folder` is that of the search; its results file says what the study does not know. Trials reported values once per
    `step`. A section that can't be drawn holds the reason instead. While the search is `running`, the page says so and
    loads itself again.
    """
    content = ReportContent(
        snapshot=StudySnapshot.of(study, monitor=monitor, step=step),
        page=path,
        folder=folder,
        recorded=RecordedResults.read(folder, study_name=study.study_name),
        n_trials=n_trials,
        running=running,
    )
    with quiet_optuna():
        sections = [_group(anchor, content) for anchor in GROUPS]
    write_page(
        path,
        title=f"{'Running: ' if running else ''}{title} · {monitor}",
        heading=title,
        lead=_lead(content),
        sections=sections,
        seconds_to_reload=running.seconds if running else None,
    )


def _group(anchor: str, content: ReportContent) -> Section:
    heading, sections = GROUPS[anchor]
    shown = {name: section for name, section in sections.items() if name != "front" or content.snapshot.further}
    built = [Section.of(name, title, build=partial(build, content)) for name, (title, build) in shown.items()]
    return Section.group(anchor, heading, built)


def _lead(content: ReportContent) -> str:
    now = datetime.now().astimezone()
    written = f'written <time datetime="{now.isoformat(timespec="seconds")}">{now:%Y-%m-%d %H:%M:%S}</time>'
    return f"{best.lead(content)} · {written}"
