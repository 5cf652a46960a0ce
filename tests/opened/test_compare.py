"""`python -m lightsweep.compare`: several searches side by side, on the screen and as a page."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial
from plotly.offline import get_plotlyjs

from lightsweep.compare import main
from lightsweep.config.command_line import COMMAND
from lightsweep.config.fingerprint import differing
from lightsweep.opened.compared import ComparedSearch
from tests.conftest import Command
from tests.opened.studies import foreign_study, journal_study, search_folder

CONFIRMED = {"winner": 3, "candidates": [{"trial": 3, "mean": 0.86, "half_width": 0.021}]}
SHIPPED = {"shipped_trial": 3, "shipped": {"test/acc": 0.87, "test/loss": 0.3}}
INTERVALS = {"shipped_intervals": {"test/acc": [0.85, 0.8899]}}
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture
def compare(command: Any) -> Command:
    """Run the command and return its output, or with `error=True` its error."""
    run: Command = command("compare", main)
    return run


def rows_of(text: str, heading: str) -> dict[str, list[str]]:
    """The rows of one table by their label."""
    table = text.split(f"{heading}\n", 1)[1].split("\n\n")[0]
    rows = [re.split(r" {2,}", line.strip()) for line in table.splitlines()[1:]]
    return {label: cells for label, *cells in rows}


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Two searches of the same metric; only the first is confirmed and exported."""
    a = search_folder(tmp_path / "a", confirmed=CONFIRMED, **SHIPPED, **INTERVALS)
    b = search_folder(tmp_path / "b", settings={"optimizer.lr": "searched: 0.0 to 2.0", "model.n_layers": "3"})
    for folder, sampler in ((a, "tpe"), (b, "random")):
        (folder / COMMAND).write_text(json.dumps([f"hydra/sweeper/sampler={sampler}", "model.n_layers=9"]))
    return [a, b]


def test_the_results_have_a_column_per_search(two: list[Path], compare: Command) -> None:
    text = compare(*two)
    assert text.splitlines()[1].split() == ["a", "b"]
    rows = rows_of(text, "Results")
    assert rows == {
        "finished trials": ["4", "4"],
        "complete": ["2", "2"],
        "pruned": ["1", "1"],
        "infeasible": ["1", "1"],
        "best val/acc (highest)": ["0.9 (trial 0)", "0.9 (trial 0)"],
        "confirmed, mean of seeds": ["0.86 ± 0.021 (trial 3)", "-"],
        "test/acc": ["0.87 (0.85 to 0.8899)", "-"],
        "test/loss": ["0.3", "-"],
        "epochs": ["13", "13"],
        "time of all trials": ["6.0 s", "6.0 s"],
    }


def test_what_differs_is_shown_and_nothing_else(two: list[Path], compare: Command) -> None:
    text = compare(*two)
    assert rows_of(text, "Search space") == {"optimizer.lr": ["0.0 to 1.0", "0.0 to 2.0"]}
    assert rows_of(text, "Settings") == {"model.n_layers": ["2", "3"]}
    assert rows_of(text, "Options of the command line") == {"hydra/sweeper/sampler": ["tpe", "random"]}
    assert "Environment: the same." in text


def test_a_parameter_that_one_search_fixes_belongs_to_the_space(tmp_path: Path, compare: Command) -> None:
    search_folder(tmp_path / "a")
    search_folder(tmp_path / "b", settings={"model.n_layers": "searched: 1 to 3"})
    text = compare(tmp_path / "a", tmp_path / "b")
    assert rows_of(text, "Search space") == {"model.n_layers": ["fixed: 2", "1 to 3"]}
    assert "Settings: the same." in text


def test_several_objectives_are_compared_by_the_first(tmp_path: Path, compare: Command) -> None:
    study = journal_study(tmp_path / "two.journal", directions=["minimize", "maximize"])
    for values in ([0.5, 1.0], [0.4, 0.5], [0.6, 0.9]):
        study.add_trial(create_trial(values=values))
    journal_study(tmp_path / "one.journal").add_trial(create_trial(value=0.3))
    rows = rows_of(compare(tmp_path / "two.journal", tmp_path / "one.journal"), "Results")
    assert rows["best value (lowest)"] == ["0.4 (trial 1)", "0.3 (trial 0)"]
    assert rows["trials on the Pareto front"] == ["2 (also value 2)", "-"]


def test_three_searches_of_different_tools_and_metrics_are_compared(tmp_path: Path, compare: Command) -> None:
    folder = search_folder(tmp_path / "a")
    foreign_study(f"sqlite:///{tmp_path}/study.db")
    foreign_study(tmp_path / "their.journal")
    text = compare(folder, f"sqlite:///{tmp_path}/study.db", tmp_path / "their.journal")
    assert text.startswith("The searches have different metrics or directions")
    rows = rows_of(text, "Results")
    assert rows["best"][0] == "val/acc 0.9 (trial 0)"
    assert rows["best"][1].startswith("value 0.00")
    assert rows["failed"] == ["-", "1", "1"]
    assert rows_of(text, "Search space")["x"] == ["-", "-1.0 to 1.0", "-1.0 to 1.0"]
    assert "Settings: the same, as far as they were recorded." in text


def test_studies_of_one_storage_are_chosen_by_name(tmp_path: Path, compare: Command) -> None:
    for name in ("first", "se#cond"):
        journal_study(tmp_path / "both.journal", name).add_trial(create_trial(value=0.5))
    journal_study(tmp_path / "a#b.journal", "third")
    names = ["both.journal#first", "both.journal#se#cond", "a#b.journal", "a#b.journal#third"]
    assert re.split(r" {2,}", compare(*names).splitlines()[1])[1:] == [
        "first in both.journal",
        "se#cond in both.journal",
        "third in a#b.journal",
        "third in a#b.journal",
    ]
    assert "first, se#cond. Choose one with 'both.journal#<study>'" in compare("both.journal", names[2], error=True)


def test_long_values_are_wrapped_and_can_not_command_the_terminal(tmp_path: Path, compare: Command) -> None:
    search_folder(tmp_path / "a")
    search_folder(tmp_path / "b", settings={"model.name": f"\x1b[2J{'long ' * 30}"})
    text = compare(tmp_path / "a", tmp_path / "b")
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) < 100
    assert text.count("long ") + text.count("long\n") == 30


def test_passwords_are_masked(tmp_path: Path, compare: Command) -> None:
    search_folder(tmp_path / "a")
    search_folder(tmp_path / "b", settings={"data.url": "postgresql://me:secret@host/db"})
    text = compare(tmp_path / "a", tmp_path / "b", "-o", "page.html")
    assert "postgresql://me:***@host/db" in text
    assert "secret" not in text
    assert "secret" not in (tmp_path / "page.html").read_text().replace(get_plotlyjs(), "")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([{"a": "1"}, {"a": "1"}, {"a": "1"}], {}),
        ([{"a": "1"}, {}, {"a": "2"}], {"a": ("1", "-", "2")}),
        ([{"data.n_folds": "5"}, {}], {}),  # a version without the key did the same
        ([{"data.n_folds": "4"}, {}], {"data.n_folds": ("4", "-")}),
    ],
)
def test_settings_of_any_number_of_searches_differ(settings: Any, expected: Any) -> None:
    assert differing(settings) == expected


def test_the_best_so_far_is_in_the_order_in_which_trials_finished(tmp_path: Path) -> None:
    study = journal_study(tmp_path / "a.journal", direction="maximize")
    start = datetime(2026, 1, 1, 12)
    for seconds, value in ((60, 0.5), (30, 0.4), (90, None), (100, 0.3), (120, 0.9), (130, 0.99)):
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        trial = create_trial(state=state, value=value, constraints={"memory": 1.0} if value == 0.99 else {})
        trial.datetime_start, trial.datetime_complete = start, start + timedelta(seconds=seconds)
        study.add_trial(trial)
    progress = ComparedSearch.of(str(tmp_path / "a.journal")).progress()
    assert [tuple(point) for point in progress] == [
        (1, 30.0, 0.4),
        (2, 60.0, 0.5),
        (3, 90.0, 0.5),
        (4, 100.0, 0.5),
        (5, 120.0, 0.9),
        (6, 130.0, 0.9),
    ]


def page_of(compare: Command, *searches: Path | str) -> str:
    compare(*searches, "-o", "page.html")
    return Path("page.html").read_text(encoding="utf-8").replace(get_plotlyjs(), "")


def test_the_page_has_the_tables_and_two_figures(two: list[Path], compare: Command) -> None:
    page = page_of(compare, *two)
    figures = [json.loads(text) for text in re.findall(r'"application/json">(.*?)</script>', page)]
    assert [figure["layout"]["xaxis"]["title"]["text"] for figure in figures] == [
        "finished trials",
        "seconds since the first trial began",
    ]
    over_trials = figures[0]["data"]
    assert [(line["name"], line["x"], line["y"]) for line in over_trials] == [
        (name, [1, 2, 3, 4], [0.9] * 4) for name in ("a", "b")
    ]
    assert len({line["line"]["color"] for line in over_trials}) == 2
    for cells in (
        "<th>test/acc</th><td>0.87 (0.85 to 0.8899)</td><td>-</td>",
        "<th>model.n_layers</th><td>2</td><td>3</td>",
    ):
        assert cells in page


def test_a_page_without_complete_trials_or_of_different_metrics_says_why_it_draws_nothing(
    two: list[Path], tmp_path: Path, compare: Command
) -> None:
    journal_study(tmp_path / "empty.journal")
    assert "No trial has completed with a finite value." in page_of(compare, "empty.journal", "empty.journal")
    assert page_of(compare, two[0], "empty.journal").count("different metrics or directions") == 3


def test_texts_of_the_searches_never_become_markup(tmp_path: Path, compare: Command) -> None:
    for name in ("first", f"{MARKUP}%{{x}}"):
        study = journal_study(tmp_path / "their.journal", name)
        study.set_user_attr("lightsweep:fingerprint", {"measured": {"monitor": MARKUP, name: MARKUP}, "noted": {}})
        study.add_trial(create_trial(value=0.5, params={MARKUP: 1}, distributions={MARKUP: IntDistribution(1, 1)}))
    page = page_of(compare, "their.journal#first", f"their.journal#{MARKUP}%{{x}}")
    assert "<img" not in page
    assert "alert(1)" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "'a' is one search; give two or more"),
        (["a", "nowhere"], "'nowhere' is neither a folder, nor a journal"),
        (["a", "a", "-o", "nowhere/page.html"], "nowhere must be a folder that exists"),
    ],
)
def test_what_can_not_be_compared_is_one_error(
    arguments: list[str], message: str, tmp_path: Path, compare: Command
) -> None:
    search_folder(tmp_path / "a")
    assert message in compare(*arguments, error=True)
