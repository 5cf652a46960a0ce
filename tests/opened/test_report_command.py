"""`python -m lightsweep.report`: the page of any study of Optuna."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import create_trial

from lightsweep.report.__main__ import main
from tests.conftest import Command
from tests.opened.studies import foreign_study, journal_study, search_folder

FIGURES = ["history", "importances", "parallel", "slices", "timeline"]


@pytest.fixture
def report(command: Any) -> Command:
    """Run the command and return its output, or with `error=True` its error."""
    run: Command = command("report", main)
    return lambda *arguments, **options: run(*arguments, **options).strip()


def drawn(html: str) -> list[str]:
    sections = re.findall(r'<section class="card" id="(\w+)">(.*?)</section>', html, flags=re.DOTALL)
    return [anchor for anchor, body in sections if 'class="figure"' in body]


@pytest.mark.parametrize("reports", [True, False], ids=["with intermediate values", "without them"])
@pytest.mark.parametrize("is_database", [True, False], ids=["SQLite", "journal"])
def test_a_study_of_another_tool_becomes_a_page(
    reports: bool, is_database: bool, tmp_path: Path, report: Command
) -> None:
    storage = f"sqlite:///{tmp_path}/study.db" if is_database else tmp_path / "their.journal"
    study = foreign_study(storage, reports=reports, study_name="their / study")
    assert report(storage) == "their_study.html"
    html = (tmp_path / "their_study.html").read_text()
    assert sorted(drawn(html)) == sorted([*FIGURES, *(["curves"] if reports else [])])
    assert "<h1>their / study</h1>" in html
    assert "A search for the lowest <code>value</code>" in html
    assert "14 (12 complete, 1 pruned, 1 failed)" in html
    assert f"Trial {study.best_trial.number} reached value" in html
    assert '"text":"step"' in html or not reports


def test_the_page_of_a_search_is_in_its_folder(tmp_path: Path, report: Command) -> None:
    folder = search_folder(tmp_path / "mlp")
    assert report(folder) == "mlp/report.html"
    assert "Trial 0 reached val/acc 0.9" in (folder / "report.html").read_text()
    assert report(folder, "-o", "other.html") == "other.html"
    assert (tmp_path / "other.html").is_file()


def test_the_best_trial_of_a_study_is_feasible(tmp_path: Path, report: Command) -> None:
    study = journal_study(tmp_path / "their.journal")
    study.add_trial(create_trial(value=0.1, constraints={"memory": 1.0}))
    study.add_trial(create_trial(value=0.2))
    html = (tmp_path / report(tmp_path / "their.journal")).read_text()
    assert "<dd>0.2000 (trial 1)</dd>" in html
    assert "Trial 1 reached value 0.2." in html


def test_an_empty_study_has_a_page(tmp_path: Path, report: Command) -> None:
    journal_study(tmp_path / "their.journal", "..")
    html = (tmp_path / report(tmp_path / "their.journal")).read_text()
    assert "No trial has finished yet." in html


def test_the_name_of_a_study_is_no_markup(tmp_path: Path, report: Command) -> None:
    foreign_study(tmp_path / "their.journal", study_name="<script>alert(1)</script>")
    html = (tmp_path / report(tmp_path / "their.journal")).read_text()
    assert "<script>alert" not in html
    assert "<h1><script>alert(1)</script></h1>" in unescape(html)


def two_studies(path: Path) -> None:
    for name in ("first", "second"):
        journal_study(path, name)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (two_studies, [], "first, second. Choose one with --study."),
        (two_studies, ["--study", "third"], "has no study 'third'"),
        (two_studies, ["--study", "first", "-o", "no/page.html"], "no must be a folder that exists"),
        (two_studies, ["--study", "first", "-o", "."], "which is a folder"),
        (two_studies, ["--study", "first", "-o", "it"], "is no HTML page by its name"),
        (lambda path: None, [], "neither a folder"),
    ],
)
def test_what_can_not_be_written_is_one_error(
    make: Callable[[Path], Any], options: list[str], message: str, tmp_path: Path, report: Command
) -> None:
    make(tmp_path / "it")
    assert message in report(tmp_path / "it", *options, error=True)
    assert list(tmp_path.glob("*.html")) == []


def test_a_password_is_not_shown(report: Command) -> None:
    error = report("mysql+pymysql://me:secret@localhost:1/db", error=True)
    assert "mysql+pymysql://me:***@localhost:1/db" in error
    assert "secret" not in error
