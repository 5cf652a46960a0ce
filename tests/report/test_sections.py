"""The sections of the report that tell more than the study: the results file, the folders, the commands."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from lightsweep.files import yaml_of
from lightsweep.report.page.content import Running
from lightsweep.report.results import RESULTS
from tests.report.test_page import MARKUP, figures, make_study, make_trial, report, section

CANDIDATES = [
    {"trial": 3, "is_defaults": False, "searched": 0.9, "mean": 0.95, "half_width": 0.01, "values": [0.94, 0.96]},
    {"trial": 0, "is_defaults": True, "searched": None, "mean": 0.85, "half_width": 0.02, "values": [0.84, 0.86]},
]
RECORD: dict[str, Any] = {
    "confirmed": {"winner": 3, "why": "trial 3: its mean is the best", "candidates": CANDIDATES},
    "shipped": {"test/acc": 0.97, "test/loss": 0.1},
    "shipped_intervals": {"test/acc": [0.96, 0.98]},
    "trained_on": "training + validation data",
    "command": "python tune.py a=1 hydra.mode=RUN",
}


def page(folder: Path, record: dict[str, Any] | None = None, *trials: Any, **options: Any) -> str:
    """Write the report of a search in the folder; by default of five trials, the first with the defaults."""
    defaults = [make_trial(0, user_attrs={"enqueued": "defaults"}), *(make_trial(i) for i in range(1, 5))]
    study = make_study(trials or defaults)
    folder.mkdir(exist_ok=True)
    (folder / RESULTS).write_text(yaml_of({"study_name": study.study_name, **(record or {})}))
    return report(study, folder, folder=folder, **options)


def texts(html: str) -> list[str]:
    return [unescape(re.sub("<.*?>", "", cell)) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", html)]


def test_the_confirmed_value_comes_first_and_the_defaults_are_beside_it(tmp_path: Path) -> None:
    html = page(tmp_path, RECORD)
    tiles = re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", section(html, "overview"))
    assert tiles[:3] == [
        ("Confirmed val/acc, trial 3", "0.9500 ± 0.0100"),
        ("The defaults, trial 0", "0.8500 ± 0.0200"),
        ("test/acc, exported model", "0.9700 (0.9600 to 0.9800)"),
    ]
    cells = texts(section(html, "confirmation"))
    assert cells[3:] == ["3 winner", "0.9000", "0.9500 ± 0.0100", "0 defaults", "pruned", "0.8500 ± 0.0200"]
    assert "mean of 2 seeds" in section(html, "confirmation")
    assert "Trial 3 reached" in section(html, "best")
    assert texts(section(html, "best"))[:3] == ["", "trial 3", "defaults"]
    assert texts(section(html, "test"))[2:] == ["test/acc", "0.9700 (0.9600 to 0.9800)", "test/loss", "0.1000"]


def test_without_confirmation_the_page_says_that_the_value_is_too_good(tmp_path: Path) -> None:
    html = page(tmp_path)
    assert "expect less on new data" in section(html, "best")
    assert "were not trained again" in section(html, "confirmation")
    assert "No model was exported" in section(html, "test")


@pytest.mark.parametrize(
    "record",
    [
        {"confirmed": 5, "shipped": [1], "shipped_intervals": "a", "command": ["x"]},
        {"confirmed": {"winner": 3, "candidates": [None, {"trial": "3"}]}, "shipped": {"a": None}, "command": "'"},
        {**RECORD, "study_name": "another"},
    ],
)
def test_a_damaged_record_counts_as_none(record: dict[str, Any], tmp_path: Path) -> None:
    html = page(tmp_path, record)
    assert "were not trained again" in section(html, "confirmation")
    assert "No model was exported" in section(html, "test")


def test_texts_of_the_record_are_no_markup(tmp_path: Path) -> None:
    record = {
        "confirmed": {"winner": 3, "why": MARKUP, "candidates": CANDIDATES},
        "shipped": {MARKUP: 0.5},
        "trained_on": MARKUP,
        "refit_failed": MARKUP,
        "command": f"python '{MARKUP}'",
    }
    html = page(tmp_path, record, running=Running(seconds=10, stage=MARKUP))
    assert "evil" in section(html, "test")
    assert "<img" not in html
    assert "<script>" not in html


def test_trials_link_to_their_folders_relative_to_the_page(tmp_path: Path) -> None:
    for name in ("search/3", "search/4"):
        (tmp_path / name).mkdir(parents=True)
    html = page(tmp_path / "search", RECORD)
    assert sorted(re.findall(r'href="([^"#]*)"', section(html, "trials"))) == ["3/", "4/"]
    assert '<a href="3/">3</a>' in section(html, "confirmation")


def test_pruning_says_what_it_saved(tmp_path: Path) -> None:
    attrs = {"n_epochs": 2, "max_epochs": 10}
    trials = [
        make_trial(0, user_attrs={"n_epochs": 10, "max_epochs": 10}),
        *(make_trial(i, TrialState.PRUNED, user_attrs=attrs) for i in (1, 2)),
    ]
    cells = texts(section(page(tmp_path, None, *trials), "pruning"))
    assert cells == ["Pruned trials", "2 of 3", "Epochs saved", "16 of 30 (53 %)", "Epochs of the pruned trials", "4"]
    assert "No trial was pruned." in section(page(tmp_path), "pruning")


def test_failures_are_grouped_by_reason(tmp_path: Path) -> None:
    failed = [make_trial(i, TrialState.FAIL, user_attrs={"fail_reason": "no disk"}) for i in range(10)]
    attrs = {"fail_kind": "diverged", "fail_reason": "<b>"}
    infeasible = make_trial(10, TrialState.PRUNED, user_attrs=attrs, constraints={"feasibility": 1.0})
    cells = texts(section(page(tmp_path, None, infeasible, *failed), "failures"))[4:]
    assert cells[:4] == ["failed", "10", "no disk", "1, 2, 3, 4, 5, 6, 7, 8 and 2 more"]
    assert cells[4:] == ["infeasible", "1", "diverged: <b>", "0"]
    assert "No trial failed." in section(page(tmp_path), "failures")


def test_slices_show_pruned_and_failed_trials(tmp_path: Path) -> None:
    trials = [make_trial(0, value=0.9), make_trial(1, value=0.8), make_trial(2, TrialState.PRUNED, value=0.85)]
    html = page(tmp_path, None, *trials, make_trial(3, TrialState.FAIL))
    for figure in figures(section(html, "slices")):
        failed, pruned, complete = figure["data"]
        assert failed["y"] == [0.8]  # the worst value
        assert pruned["y"] == [0.85]
        assert pruned["text"][0].startswith("trial 2 (pruned), ")
        assert sorted(complete["y"]) == [0.8, 0.9]


def test_commands_use_reproduce_and_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my search"
    for path in ("3/x", "best/metrics.json", "best/preprocessing.json", "experiment/best.yaml", "study.journal"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    html = page(folder, RECORD, n_trials=5)
    commands = [unescape(text) for text in re.findall("<dd><code>(.*?)</code>", section(html, "commands"))]
    assert commands == [
        "python -c \"import lightsweep; print(lightsweep.load('my search/best').metrics)\"",
        "python -m lightsweep.reproduce 'my search/3'",
        "python tune.py --config-dir 'my search' experiment=best",
        "python tune.py 'resume=my search' hydra.sweeper.n_trials=10",
        "optuna-dashboard 'my search/study.journal'",
        "python -m lightsweep.report 'my search'",
    ]


def test_a_study_without_a_folder_has_no_commands(tmp_path: Path) -> None:
    html = report(make_study([make_trial(0)]), tmp_path)
    assert "The folder of the search is not known" in section(html, "commands")


def test_only_the_page_of_a_running_search_loads_itself_again(tmp_path: Path) -> None:
    running = page(tmp_path, n_trials=8, running=Running(seconds=20, stage="confirming"))
    assert 'data-reload="20"' in running
    assert "Running, 5 of 8 trials finished; confirming" in running
    assert "lightsweep.status" in section(running, "commands")
    final = page(tmp_path, n_trials=8)
    assert 'data-reload=""' in final
    assert "5 of 8 trials finished" in final
    assert "Running" not in final.split("<main>")[0]
