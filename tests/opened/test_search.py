"""`lightsweep.open_search`: a search in a notebook, from its folder, wherever it is now, or from its storage."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.exceptions import ExperimentalWarning
from plotly.graph_objects import Figure

import lightsweep
from lightsweep.errors import ConfigError
from lightsweep.files import yaml_of
from lightsweep.opened.search import Best
from lightsweep.report.results import RESULTS
from lightsweep.search.study import record_objectives
from tests.command import ROOT
from tests.opened.studies import foreign_study, journal_study, search_folder

ARTEFACTS = ROOT / "tests" / "artefacts"
CONFIRMED = {
    "winner": 3,
    "candidates": [
        {"trial": 0, "mean": 0.84, "half_width": 0.01},
        {"trial": 3, "mean": 0.86, "half_width": 0.02},
    ],
}


def test_the_trials_are_a_table_in_our_words(tmp_path: Path) -> None:
    (search_folder(tmp_path / "mlp") / "1").mkdir()
    search = lightsweep.open_search(tmp_path / "mlp")
    assert isinstance(search.study, optuna.Study)
    trials = search.trials
    assert list(trials) == ["number", "state", "value", "optimizer.lr", "epochs", "seconds", "folder", "reason"]
    assert list(trials["state"]) == ["complete", "pruned", "infeasible", "complete"]
    assert list(trials["optimizer.lr"]) == [0.3, 0.3, 0.3, 0.5]  # as the job got it, not 0.30000000000000004
    assert list(trials["epochs"]) == [5, 2, 1, 5]
    assert list(trials["seconds"]) == [1.5] * 4
    assert list(trials["reason"]) == ["", "below the median", "diverged: the loss is not finite", ""]
    assert list(trials["folder"])[:2] == ["/elsewhere/0", str(tmp_path / "mlp" / "1")]


@pytest.mark.parametrize(
    ("confirmed", "best"),
    [
        (None, Best(number=0, value=0.9, params={"optimizer.lr": 0.3})),
        (CONFIRMED, Best(number=3, value=0.8, params={"optimizer.lr": 0.5}, mean=0.86, half_width=0.02)),
        ({"winner": 3, "candidates": "damaged"}, Best(number=0, value=0.9, params={"optimizer.lr": 0.3})),
        ({**CONFIRMED, "winner": 99}, Best(number=0, value=0.9, params={"optimizer.lr": 0.3})),
    ],
)
def test_the_best_is_the_confirmed_winner(confirmed: Any, best: Best, tmp_path: Path) -> None:
    search_folder(tmp_path, confirmed=confirmed)
    assert lightsweep.open_search(tmp_path).best == best


def test_results_of_another_study_do_not_count(tmp_path: Path) -> None:
    search_folder(tmp_path, confirmed=CONFIRMED)
    journal_study(tmp_path / "study.journal", "other").add_trial(optuna.trial.create_trial(value=0.1))
    assert lightsweep.open_search(tmp_path, study="other").best == Best(number=0, value=0.1, params={})


def test_a_moved_folder_still_works(tmp_path: Path) -> None:
    for name, url in (("a", tmp_path / "a" / "my.journal"), ("b", f"sqlite:///{tmp_path}/b/study.db")):
        (tmp_path / name).mkdir()
        study = foreign_study(url)
        (tmp_path / name / RESULTS).write_text(yaml_of({"storage": str(url), "study_name": study.study_name}))
        del study
        shutil.move(tmp_path / name, tmp_path / f"{name}-moved")
        assert len(lightsweep.open_search(tmp_path / f"{name}-moved").trials) == 14


def test_opening_writes_nothing(tmp_path: Path) -> None:
    search_folder(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    search = lightsweep.open_search(tmp_path)
    assert search.trials.shape[0] == 4
    assert search.figures
    with pytest.raises(PermissionError):
        search.study.ask()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_figures_are_those_of_the_report_and_can_be_shown(tmp_path: Path) -> None:
    foreign_study(tmp_path / "their.journal")
    figures = lightsweep.open_search(tmp_path / "their.journal").figures
    slices = ["slices/layers", "slices/value", "slices/x"]
    assert list(figures) == ["history", "curves", "importances", "parallel", *slices, "timeline"]
    assert all(isinstance(figure, Figure) for figure in figures.values())
    assert figures["curves"].layout.xaxis.title.text == "step"
    assert [trace.name for trace in figures["history"].data][1] == "best so far"


def test_figures_without_data_are_left_out(tmp_path: Path) -> None:
    search_folder(tmp_path)
    assert list(lightsweep.open_search(tmp_path).figures) == ["history", "parallel", "slices/lr", "timeline"]


def test_a_study_of_another_tool_is_a_table_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    study = foreign_study(url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(["loss"])
    search = lightsweep.open_search(url)
    assert search.monitor == "loss"
    trials = search.trials
    assert {"params_value", "value", "x", "layers"} <= set(trials)  # a parameter may be called as a column is
    assert list(trials["state"][:3]) == ["complete", "failed", "pruned"]
    assert trials["epochs"].isna().all()
    assert search.best is not None
    assert search.best.value == trials["value"][trials["state"] == "complete"].min()
    with pytest.raises(ConfigError, match="open_search"):
        search.load()


def test_several_objectives_have_a_front(tmp_path: Path) -> None:
    study = journal_study(tmp_path / "a.journal", directions=["maximize", "minimize"])
    for values in ([0.9, 100.0], [0.1, 50.0], [0.88, 20.0], [0.1, 10.0]):
        study.add_trial(optuna.trial.create_trial(values=values))
    record_objectives(study, ["val/acc", "model/n_params"], ship="knee")
    search = lightsweep.open_search(tmp_path / "a.journal")
    assert list(search.trials["model/n_params"]) == [100, 50, 20, 10]
    assert list(search.front["number"]) == [0, 2, 3]
    assert search.best == Best(number=2, value=0.88, params={}, further={"model/n_params": 20.0})
    assert "front" in search.figures


def test_an_empty_study_is_an_empty_table(tmp_path: Path) -> None:
    journal_study(tmp_path / "study.journal")
    search = lightsweep.open_search(tmp_path)
    assert isinstance(search.trials, pd.DataFrame)
    assert (len(search.trials), search.best, search.figures) == (0, None, {})


def test_of_several_studies_one_must_be_chosen(tmp_path: Path) -> None:
    journal = tmp_path / "both.journal"
    for name in ("first", "first-confirm", "second"):
        journal_study(journal, name)
    with pytest.raises(ConfigError, match=r"holds 2 studies: first, second\. Choose one with study="):
        lightsweep.open_search(journal)
    assert lightsweep.open_search(journal, study="second").study.study_name == "second"
    with pytest.raises(ConfigError, match="has no study 'third'; its studies are first"):
        lightsweep.open_search(str(journal), study="third")


def test_the_study_of_a_confirmation_is_not_a_search_to_choose(tmp_path: Path) -> None:
    for name in ("first", "first-confirm"):
        journal_study(tmp_path / "a.journal", name)
    assert lightsweep.open_search(tmp_path / "a.journal").study.study_name == "first"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "neither a folder, nor a journal"),
        (lambda path: path.mkdir(), "is not the folder of a search"),
        (lambda path: path.write_text(""), "holds no study yet"),
        (lambda path: path.write_text("{not json}\n"), "can't be read"),
    ],
)
def test_what_can_not_be_opened_is_one_error(make: Any, message: str, tmp_path: Path) -> None:
    make(tmp_path / "it")
    with pytest.raises(ConfigError, match=message):
        lightsweep.open_search(tmp_path / "it")


def test_the_exported_model_is_loaded(tmp_path: Path) -> None:
    search_folder(tmp_path)
    with pytest.raises(ConfigError, match="best"):
        lightsweep.open_search(tmp_path).load()
    shutil.copytree(ARTEFACTS / "digits", tmp_path / "best")
    assert lightsweep.open_search(tmp_path).load().metrics
