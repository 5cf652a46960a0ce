"""The model card: its content, and that names from data never become markup."""

import importlib.util
import xml.etree.ElementTree as ET
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from lightsweep.data.splits import Scaler
from lightsweep.data.target import Target
from lightsweep.export.model_card import CARD, CONFUSION, RESIDUALS, ModelCard, plain, write_card
from lightsweep.task import Task

CONFIG = OmegaConf.create(
    {
        "seed": 7,
        "data": {"path": "a|b.csv", "batch_size": 64},
        "model": {"n_layers": 2},
        "optimizer": {"lr": 0.01},
        "trainer": {"max_epochs": 5},
    }
)
SEARCH = {
    "study_name": "mine",
    "monitor": "val/acc",
    "n_trials": {"finished": 3, "complete": 2, "pruned": 1},
    "best_trial": 1,
    "best_value": 0.875,
    "best_params": {"model.n_layers": 2},
    "command": "python train.py model.n_layers=2",
}
FRONT = [{"trial": n, "values": {"val/acc": acc, "a|b": 9000.0}} for n, acc in ((1, 0.875), (2, 0.8))]
MARKUP = "</text><script>|`x`|\n# $\\frac"


def model_card(**changes: Any) -> ModelCard:
    classes = ("no", "yes", "maybe")
    defaults: dict[str, Any] = {
        "config": CONFIG,
        "target": Target(task=Task.MULTICLASS, names=("churned",), classes=classes),
        "rows": {"training + validation": 16, "test": 4},
        "columns": {"number": ["age"], "category": ["a|b"]},
        "metrics": {"training + validation": {"test/acc": 1.0}, "test": {"test/acc": 0.75}},
        "predicted": torch.eye(3)[[0, 1, 1, 2]],
        "actual": torch.tensor([0, 1, 0, 2]),
    }
    return ModelCard(**{**defaults, **changes})


def regression(*names: str) -> dict[str, Any]:
    scaler = Scaler(mean=np.zeros(len(names), dtype=np.float32), std=np.ones(len(names), dtype=np.float32))
    return {
        "target": Target(task=Task.REGRESSION, names=names, scaler=scaler),
        "predicted": torch.rand(9, len(names)),
        "actual": torch.rand(9, len(names)),
    }


def card_of(folder: Path, card: ModelCard) -> str:
    write_card(folder, card)
    return (folder / CARD).read_text()


def texts_in(plot: Path) -> list[str]:
    """The texts of an SVG; raises if it is not well-formed."""
    return [text.strip() for text in ET.fromstring(plot.read_text()).itertext() if text.strip()]


@pytest.mark.parametrize(
    "line",
    [
        "Multiclass classification of churned: 3 classes, no, yes, maybe.",
        "| data.path | a\\|b.csv |",
        "| test | 4 |",
        "| category | 1 | a\\|b |",
        "| split | acc |",
        "| test | 0.7500 |",
        "In the search, before the refit, its trial reached val/acc 0.8750 on the validation split.",
        f"![Confusion matrix of the test split]({CONFUSION})",
        "| optimizer.lr | 0.01 |",
        "| model.schedule | one\\_cycle |",
        "| trials | 3 (2 complete, 1 pruned) |",
        "| best trial | 1 |",
        "- model.onnx: at most 1e-07",
        "- Unseen categories are unknown.",
        "| seed | 7 |",
        f"| version of pandas | {version('pandas')} |",
    ],
)
def test_the_card_has_the_line(line: str, tmp_path: Path) -> None:
    card = model_card(
        search=SEARCH,
        defaults={"model.schedule": "one_cycle"},
        exports=["model.onnx: at most 1e-07"],
        limits=["Unseen categories are unknown."],
    )
    assert line in card_of(tmp_path, card).splitlines()


def test_each_version_is_listed_once(tmp_path: Path) -> None:
    lines = card_of(tmp_path, model_card()).splitlines()
    versions = [line for line in lines if line.startswith("| version of ")]
    assert len(versions) == len({line.split("|")[1] for line in versions}) > 1


def test_a_single_run_has_no_section_on_a_search(tmp_path: Path) -> None:
    assert "## Search" not in card_of(tmp_path, model_card())


def test_the_confusion_matrix_counts_actual_by_predicted(tmp_path: Path) -> None:
    card_of(tmp_path, model_card())
    texts = texts_in(tmp_path / CONFUSION)
    assert texts.count("1") == 4
    assert {"no", "yes", "maybe", "actual", "predicted"} <= set(texts)


@pytest.mark.parametrize("names", [("price",), ("price", MARKUP)])
def test_a_regression_shows_each_target(names: tuple[str, ...], tmp_path: Path) -> None:
    assert RESIDUALS in card_of(tmp_path, model_card(**regression(*names)))
    assert "price" in texts_in(tmp_path / RESIDUALS)


@pytest.mark.parametrize("n", [30, 60])
def test_names_of_many_classes_are_left_out_of_the_plot(n: int, tmp_path: Path) -> None:
    target = Target(task=Task.MULTICLASS, names=("word",), classes=tuple(f"w{i}" for i in range(n)))
    labels = torch.arange(n)
    text = card_of(tmp_path, model_card(target=target, predicted=torch.eye(n), actual=labels))
    assert f"w19 and {n - 20} more" in text
    assert ("w25" in texts_in(tmp_path / CONFUSION)) == (n == 30)


def test_names_from_data_never_become_markup(tmp_path: Path) -> None:
    target = Target(task=Task.BINARY, names=(MARKUP,), classes=(MARKUP, "ok"))
    changes: dict[str, Any] = {"target": target, "columns": {"number": [MARKUP]}, "limits": [MARKUP], "search": SEARCH}
    predicted, actual = torch.eye(2)[[0, 1]], torch.tensor([0, 1])
    text = card_of(tmp_path, model_card(predicted=predicted, actual=actual, **changes))
    assert "<script>" not in text + (tmp_path / CONFUSION).read_text()
    for line in text.splitlines():
        assert not line.startswith("# $")
    [row] = [line for line in text.splitlines() if line.startswith("| number")]
    assert row.replace("\\|", "").count("|") == 4
    assert any(name.startswith("</text>") for name in texts_in(tmp_path / CONFUSION))


@pytest.fixture
def no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find_spec(name))


@pytest.mark.usefixtures("no_matplotlib")
def test_without_matplotlib_the_confusion_matrix_is_a_table(tmp_path: Path) -> None:
    target = Target(task=Task.MULTICLASS, names=("churned",), classes=("no", "yes", MARKUP))
    lines = card_of(tmp_path, model_card(target=target)).splitlines()
    [header] = [i for i, line in enumerate(lines) if line.startswith("| actual | predicted no | predicted yes |")]
    assert lines[header + 2 : header + 4] == ["| no | 1 | 1 | 0 |", "| yes | 0 | 1 | 0 |"]
    assert lines[header + 4].endswith(" | 0 | 0 | 1 |")
    assert any(line.endswith("needs Matplotlib: `pip install -c constraints.txt -e '.[pictures]'`.") for line in lines)
    assert "<script>" not in "".join(lines)
    assert [file.name for file in tmp_path.iterdir()] == [CARD]


@pytest.mark.usefixtures("no_matplotlib")
@pytest.mark.parametrize(("n", "is_table"), [(20, True), (21, False)])
def test_a_confusion_matrix_of_many_classes_is_not_a_table(n: int, is_table: bool, tmp_path: Path) -> None:
    target = Target(task=Task.MULTICLASS, names=("word",), classes=tuple(f"w{i}" for i in range(n)))
    text = card_of(tmp_path, model_card(target=target, predicted=torch.eye(n), actual=torch.arange(n)))
    assert ("| predicted w1 |" in text) == is_table
    assert "needs Matplotlib" in text


@pytest.mark.usefixtures("no_matplotlib")
def test_without_matplotlib_a_regression_has_no_plot(tmp_path: Path) -> None:
    text = card_of(tmp_path, model_card(**regression("price")))
    assert "A plot of predicted and actual values needs Matplotlib" in text
    assert [file.name for file in tmp_path.iterdir()] == [CARD]


def test_an_output_of_another_shape_has_no_plot(tmp_path: Path) -> None:
    assert "![" not in card_of(tmp_path, model_card(predicted=None))
    assert not list(tmp_path.glob("*.svg"))


@pytest.mark.parametrize(
    ("text", "shown"), [("a_b", "a\\_b"), ("a\n\nb", "a b"), ("<b>&", "&lt;b&gt;&amp;"), (3, "3"), ("", "")]
)
def test_plain_text(text: object, shown: str) -> None:
    assert plain(text) == shown


def test_the_card_shows_the_pareto_front(tmp_path: Path) -> None:
    write_card(tmp_path, model_card(search={**SEARCH, "ship": "knee", "front": FRONT}))
    text = (tmp_path / CARD).read_text()
    assert "The model is that of trial 1, which ship=knee chose from the Pareto front:" in text
    assert "| 2 | 0.8000 | 9,000 |" in text
    assert plain("a|b") in text
    assert plain(plain("a|b")) not in text
