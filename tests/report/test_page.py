"""The HTML report: its content for real studies, escaping of untrusted text, and independence of the network."""

import base64
import gzip
import json
import math
import re
import warnings
from collections.abc import Sequence
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from plotly.offline import get_plotlyjs

from lightsweep.report.page.report import write_report
from lightsweep.search.study import record_objectives

MARKUP = "</script><script>document.title='evil'</script><img src=x onerror=\"document.title='evil'\">"
SPACE: dict[str, BaseDistribution] = {
    "model.n_layers": IntDistribution(1, 4),
    "model.dropout": FloatDistribution(0, 0.6),
    "optimizer": CategoricalDistribution(["adamw", "sgd"]),
    "optimizer.lr": FloatDistribution(1e-5, 1, log=True),
}
STATES = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]
EPOCHS = {"n_epochs": 3, "max_epochs": 3}
FIGURES = {"history", "curves", "importances", "parallel", "slices", "timeline"}


def make_trial(i: int, state: TrialState = TrialState.COMPLETE, *, n_epochs: int = 4, **changes: Any) -> FrozenTrial:
    """Return the i-th trial of a fixed sequence; its value falls with the distance of `lr` from 0.01."""
    params = {
        "model.n_layers": 1 + i % 4,
        "model.dropout": (i * 0.37) % 0.6,
        "optimizer": ["adamw", "sgd"][i % 2],
        "optimizer.lr": 10 ** -(0.5 + (i * 0.61) % 4),
    }
    value = 0.9 - 0.1 * abs(math.log10(params["optimizer.lr"]) + 2)
    defaults: dict[str, Any] = {
        "value": None if state == TrialState.FAIL else value,
        "params": params,
        "distributions": SPACE,
        "intermediate_values": {epoch: value - 0.3 / (epoch + 1) for epoch in range(n_epochs)},
    }
    return create_trial(state=state, **(defaults | changes))


def make_study(trials: Sequence[FrozenTrial], *, direction: str = "maximize") -> optuna.Study:
    study = optuna.create_study(direction=direction)
    study.add_trials(trials)
    return study


def report(study: optuna.Study, tmp_path: Path, **changes: Any) -> str:
    path = tmp_path / "report.html"
    write_report(study, path, **({"title": "mlp", "monitor": "val/acc"} | changes))
    return path.read_text(encoding="utf-8")


def section(html: str, anchor: str) -> str:
    match = re.search(rf'<section class="card" id="{anchor}">.*?</section>', html, flags=re.DOTALL)
    assert match is not None
    return match.group()


def figures(html: str) -> list[dict[str, Any]]:
    """Return the figures for plotly.js, as strict JSON: the parser of a browser refuses NaN."""
    texts = re.findall(r'<script type="application/json">(.*?)</script>', html, flags=re.DOTALL)
    return [json.loads(text, parse_constant=pytest.fail) for text in texts]


def figure_of(html: str, anchor: str) -> Any:
    [figure] = figures(section(html, anchor))
    return figure


def drawn_sections(html: str) -> set[str]:
    return {anchor for anchor in FIGURES if 'class="figure"' in section(html, anchor)}


def plotly_in(html: str) -> str:
    [text] = re.findall(r'<script type="text/plain" id="plotly">(.*?)</script>', html, flags=re.DOTALL)
    return gzip.decompress(base64.b64decode(text)).decode()


def test_report_shows_every_section_of_a_search_with_all_outcomes(tmp_path: Path) -> None:
    study = make_study([make_trial(i, STATES[i % 5]) for i in range(50)])
    html = report(study, tmp_path)
    assert drawn_sections(html) == FIGURES
    assert f"<dt>Best val/acc</dt><dd>{study.best_value:.4f} (trial {study.best_trial.number})</dd>" in html
    assert f"Trial {study.best_trial.number} reached val/acc {study.best_value:.4g}." in section(html, "best")
    assert section(html, "best").count('<tr><th scope="row">') == len(SPACE)
    assert "PED-ANOVA" in section(html, "importances")
    assert "Objective Value" not in html


def test_optuna_stays_silent_and_keeps_its_verbosity(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    study = make_study([make_trial(i) for i in range(3)])
    before = optuna.logging.get_verbosity()
    capfd.readouterr()
    report(study, tmp_path)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before


NO_FINITE_VALUE = "No trial has completed with a finite value."
INCOMPLETE: dict[str, tuple[list[FrozenTrial], set[str], str]] = {
    "nothing yet": ([], set(), "No trial has finished yet."),
    "one trial": (
        [make_trial(0)],
        {"history", "curves", "parallel", "slices", "timeline"},
        "Importances need 10 complete trials, not only 1.",
    ),
    "pruned only": ([make_trial(i, TrialState.PRUNED) for i in range(5)], {"curves", "timeline"}, NO_FINITE_VALUE),
    "failed only": ([make_trial(i, TrialState.FAIL) for i in range(5)], {"timeline"}, NO_FINITE_VALUE),
    "infinite value": (
        [make_trial(0, value=math.inf, intermediate_values={0: math.nan, 1: math.inf})],
        {"curves", "timeline"},
        NO_FINITE_VALUE,
    ),
    "no intermediate values": (
        [make_trial(i, intermediate_values={}) for i in range(12)],
        FIGURES - {"curves"},
        "No complete or pruned trial reported a value during training.",
    ),
    "all values equal": (
        [make_trial(i, value=0.5) for i in range(12)],
        FIGURES - {"importances"},
        "The hyperparameters can't be ranked",
    ),
    "no hyperparameters": (
        [make_trial(i, params={}, distributions={}) for i in range(12)],
        {"history", "curves", "timeline"},
        "The complete trials have no hyperparameters.",
    ),
    "one number": (
        [make_trial(i, params={"a": i}, distributions={"a": IntDistribution(0, 20)}) for i in range(12)],
        FIGURES - {"importances"},
        "Importances compare hyperparameters; fewer than two were searched.",
    ),
    "infeasible": (
        [make_trial(i, constraints={"memory": 1.0}) for i in range(12)],
        FIGURES,
        "No complete trial is feasible.",
    ),
}


@pytest.mark.parametrize(("trials", "drawn", "reason"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_section_without_data_holds_the_reason(
    trials: list[FrozenTrial], drawn: set[str], reason: str, tmp_path: Path
) -> None:
    html = report(make_study(trials), tmp_path)
    assert drawn_sections(html) == drawn
    figures(html)
    assert reason in unescape(html)


@pytest.mark.parametrize(
    "choices",
    [["relu", 1, None, 2.5, False], [32, 64, 128], ["[64, 64]", "[128, 128, 128, 128, 128, 128]"]],
    ids=["mixed types", "numbers", "long texts"],
)
def test_choices_of_any_type_are_axis_labels(choices: list[Any], tmp_path: Path) -> None:
    space = {"model.choice": CategoricalDistribution(choices), "x": FloatDistribution(0, 1)}
    params = [{"model.choice": choices[i % len(choices)], "x": i / 20} for i in range(20)]
    html = report(make_study([make_trial(i, params=p, distributions=space) for i, p in enumerate(params)]), tmp_path)
    axis = next(f["layout"]["xaxis"] for f in figures(section(html, "slices")) if "ticktext" in f["layout"]["xaxis"])
    assert axis["title"]["text"] == "choice"
    assert [text[:10] for text in axis["ticktext"]] == [str(choice)[:10] for choice in choices]
    assert max(map(len, axis["ticktext"])) <= 24


def test_hyperparameters_of_some_trials_only_are_drawn(tmp_path: Path) -> None:
    def conditional(i: int) -> dict[str, Any]:
        name = ["adamw.lr", "sgd.lr"][i % 2]
        return {
            "params": {name: 0.1, "x": i / 20},
            "distributions": {name: SPACE["optimizer.lr"], "x": FloatDistribution(0, 1)},
        }

    html = report(make_study([make_trial(i, **conditional(i)) for i in range(20)]), tmp_path)
    axes = [figure["layout"]["xaxis"]["title"]["text"] for figure in figures(section(html, "slices"))]
    assert axes == ["adamw.lr", "sgd.lr", "x"]  # the shortest unique names
    assert drawn_sections(html) == FIGURES


def test_running_trials_are_ignored_and_numbers_are_kept(tmp_path: Path) -> None:
    study = make_study([make_trial(0), create_trial(state=TrialState.RUNNING), make_trial(2)])
    html = report(study, tmp_path)
    assert sorted(re.findall(r'<th scope="row">(\d+)</th>', section(html, "trials"))) == ["0", "2"]
    assert [(bars["name"], bars["y"]) for bars in figure_of(html, "timeline")["data"]] == [("complete", [0, 2])]
    curves = figure_of(html, "curves")["data"]
    assert {trace["hovertemplate"].split(" (")[0] for trace in curves} == {"trial 0", "trial 2"}


def test_value_enqueued_outside_its_range_is_drawn(tmp_path: Path) -> None:
    study = optuna.create_study()
    study.enqueue_trial({"x": 5.0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Optuna's, that the value is out of range
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1) ** 2, n_trials=3)
    assert {"history", "slices", "parallel"} <= drawn_sections(report(study, tmp_path))


def test_pruned_curves_are_grey_and_dashed_and_end_in_a_cross(tmp_path: Path) -> None:
    study = make_study([make_trial(0), make_trial(1, TrialState.PRUNED, n_epochs=3), make_trial(4, value=0.1)])
    figure = figure_of(report(study, tmp_path), "curves")
    complete, pruned, best = figure["data"]
    assert [trace["name"] for trace in (complete, pruned, best)] == ["complete", "× pruned", "best (trial 0)"]
    assert pruned["marker"]["symbol"] == "x"
    assert pruned["marker"]["size"] == [0, 0, 7]
    assert [trace["line"]["dash"] for trace in (complete, pruned, best)] == ["solid", "dot", "solid"]
    assert figure["layout"]["yaxis"]["title"]["text"] == "val/acc"


def test_diverged_losses_get_a_logarithmic_scale(tmp_path: Path) -> None:
    study = make_study([make_trial(i, value=10.0 ** (i - 4)) for i in range(10)], direction="minimize")
    html = report(study, tmp_path, monitor="val/loss")
    assert figure_of(html, "history")["layout"]["yaxis"]["type"] == "log"
    assert figure_of(html, "parallel")["layout"]["xaxis"]["ticktext"][0] == "log10 val/loss"


@pytest.mark.parametrize(
    ("direction", "sign", "symbol"), [("minimize", 1, "triangle-up"), ("maximize", -1, "triangle-down")]
)
def test_a_diverged_trial_is_marked_at_the_edge_of_every_axis_of_values(
    direction: str, sign: int, symbol: str, tmp_path: Path
) -> None:
    values = [sign * value for value in (1e9, 0.5, 0.3, 0.45, 0.35)]
    trials = [make_trial(i, value=v, intermediate_values={0: sign * 0.6, 1: v}) for i, v in enumerate(values)]
    html = report(make_study(trials, direction=direction), tmp_path)
    edge = sign * 0.5

    dots, best_so_far, _ = figure_of(html, "history")["data"]
    assert dots["y"] == [edge, *values[1:]]
    assert dots["marker"]["symbol"] == [symbol, *["circle"] * 4]
    assert (dots["customdata"], dots["hovertemplate"]) == (values, "trial %{x}: %{customdata:.4g}<extra></extra>")
    assert best_so_far["y"] == [edge, edge, *[sign * 0.3] * 3]

    for figure in figures(section(html, "slices")):
        [dots] = figure["data"]
        i = dots["marker"]["color"].index(0)  # the number of the trial
        assert (dots["y"][i], dots["customdata"][i], dots["marker"]["symbol"][i]) == (edge, values[0], symbol)
        assert sorted(dots["y"]) == sorted([edge, *values[1:]])

    curve = next(c for c in figure_of(html, "curves")["data"] if c["hovertemplate"].startswith("trial 0 "))
    assert (curve["y"], curve["customdata"]) == ([sign * 0.6] * 2, [sign * 0.6, values[0]])
    assert curve["marker"]["symbol"] == ["circle", symbol]

    line = figure_of(html, "parallel")["data"][0]  # the worst one is below all others
    assert line["customdata"][0] == ["val/acc", f"{values[0]:.4g}"]
    assert line["y"][0] == (1 if sign > 0 else 0)
    labels = [note["text"] for note in figure_of(html, "parallel")["layout"]["annotations"] if note["x"] == 0]
    assert {abs(float(label)) for label in labels} <= {0.3, 0.35, 0.4, 0.45, 0.5}

    for anchor in ("history", "slices", "curves", "parallel"):
        assert "One value far from the others is drawn at the edge" in section(html, anchor)


def test_without_outliers_no_dot_is_marked(tmp_path: Path) -> None:
    html = report(make_study([make_trial(i) for i in range(12)]), tmp_path)
    assert "at the edge" not in html
    assert "customdata" not in figure_of(html, "history")["data"][0]


def test_table_ranks_the_trials_and_shows_how_each_ended(tmp_path: Path) -> None:
    pruned = {"n_epochs": 3, "max_epochs": 10, "pruned_reason": "below the median"}
    trials = [
        make_trial(0, TrialState.FAIL, user_attrs={"fail_reason": "out of memory"}),
        make_trial(1, TrialState.PRUNED, user_attrs=pruned),
        make_trial(2, value=0.25),
        make_trial(3, value=0.75, user_attrs={"n_epochs": 10, "max_epochs": 10, "best_epoch": 7}),
    ]
    html = report(make_study(trials), tmp_path)
    table = section(html, "trials")
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall("<tr class.*?</tr>", table)]
    assert [row[0] for row in rows] == ["3", "2", "1", "0"]
    assert [row[2] for row in rows[:2]] == ["0.75", "0.25"]
    assert (rows[0][-3], rows[2][-3]) == ("10 of 10", "3 of 10")
    assert [row[-1] for row in rows] == ["", "", "below the median", "out of memory"]
    assert "at epoch 7" in section(html, "best")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.2 s"), (75, "1 min 15 s"), (3599.9, "1 h 00 min"), (7500, "2 h 05 min")]
)
def test_durations_are_readable(seconds: float, text: str, tmp_path: Path) -> None:
    trial = make_trial(0)
    assert trial.datetime_complete is not None
    trial.datetime_start = trial.datetime_complete - timedelta(seconds=seconds)
    html = report(make_study([trial]), tmp_path)
    assert f">{text}</td>" in section(html, "trials")
    assert figure_of(html, "timeline")["data"][0]["customdata"] == [text]


def test_the_table_of_pruners_shows_what_each_would_have_done(tmp_path: Path) -> None:
    """Six trials of three epochs, the last of them the best one at the end but not at the start."""
    heights = [0.6, 0.7, 0.8, 0.65, 0.75]
    trials = [
        create_trial(value=height, intermediate_values={0: height, 1: height, 2: height}, user_attrs=EPOCHS)
        for height in heights
    ]
    trials.append(create_trial(value=0.9, intermediate_values={0: 0.1, 1: 0.2, 2: 0.9}, user_attrs=EPOCHS))
    html = section(report(make_study(trials), tmp_path), "pruners")
    rows = [re.findall("<t[dh](?: scope=.row.)?>(.*?)</t[dh]>", row) for row in html.split("</tr>")[1:-1]]
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["this search"] == ["0", "0 of 18 (0%)", "kept (5)", "0.9", ""]
    assert by_name["none"] == by_name["this search"]
    assert by_name["median"] == ["1", "2 of 18 (11%)", "lost (5)", "0.8", ""]
    assert by_name["threshold"] == by_name["none"]  # its warm-up is an epoch, and 0.2 is its limit
    assert set(by_name) > {"percentile", "successive_halving", "hyperband", "patient"}
    assert "curves of all 6 trials" in html


def test_report_of_a_thousand_trials_is_limited_in_size(tmp_path: Path) -> None:
    study = make_study([make_trial(i, STATES[i % 5], n_epochs=30) for i in range(1000)])
    html = report(study, tmp_path)
    assert len(html.encode()) < 5e6
    assert drawn_sections(html) == FIGURES
    assert section(html, "trials").count("<tr class") == 1000
    assert "100 of 800 trials are drawn" in section(html, "curves")
    assert "200 of 600 complete trials are drawn" in section(html, "parallel")
    assert "The latest 250 of 1,000 trials are drawn." in section(html, "timeline")
    curves = figure_of(html, "curves")
    assert f"best (trial {study.best_trial.number})" in [trace["name"] for trace in curves["data"]]


def hostile_study() -> optuna.Study:
    space = {
        MARKUP: CategoricalDistribution([MARKUP, "fine"]),
        f"b.{MARKUP}": FloatDistribution(0, 1),
        "$x$": CategoricalDistribution([1, MARKUP, None]),
    }
    values = [
        {MARKUP: ["fine", MARKUP][i % 2], f"b.{MARKUP}": i / 20, "$x$": [1, MARKUP, None][i % 3]} for i in range(20)
    ]
    reasons = dict.fromkeys(["pruned_reason", "fail_reason", "n_epochs", "max_epochs", "best_epoch", "folder"], MARKUP)
    states = [STATES[i % 5] if i % 2 else TrialState.COMPLETE for i in range(20)]
    more = {"distributions": space, "user_attrs": reasons}
    return make_study([make_trial(i, states[i], params=values[i], **more) for i in range(20)])


def hostile_report(tmp_path: Path) -> str:
    return report(hostile_study(), tmp_path, title=MARKUP, monitor=f"val/{MARKUP}")


def test_text_of_a_study_never_becomes_markup(tmp_path: Path) -> None:
    html = hostile_report(tmp_path)
    assert drawn_sections(html) == FIGURES
    assert "evil" in html
    assert "<img" not in html
    assert "<script>" not in html
    n_figures = html.count('class="figure"')
    assert html.count("</script>") == n_figures + 2  # the data of each figure, plotly.js and page.js
    texts = json.dumps(figures(html))
    assert "&lt;img" in texts  # plotly.js interprets some tags, but not entities
    assert "<img" not in texts
    assert "<script" not in texts
    assert "href" not in texts


def test_report_contains_plotly_once_and_loads_nothing(tmp_path: Path) -> None:
    html = report(make_study([make_trial(i, STATES[i % 5]) for i in range(20)]), tmp_path)
    assert plotly_in(html) == get_plotlyjs()
    assert re.search(r"""(src|href|url|@import)\s*[=(]?\s*["']?\s*(https?:)?//""", html) is None
    assert re.findall(r'href="([^#"][^"]*)"', html) == []
    assert "MathJax" not in html
    assert "content=\"default-src 'none';" in html
    assert '<meta name="viewport"' in html


def test_report_replaces_the_earlier_one_and_leaves_no_other_file(tmp_path: Path) -> None:
    study = make_study([make_trial(0)])
    report(study, tmp_path, title="first")
    html = report(study, tmp_path, title="second")
    assert "<h1>second</h1>" in html
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_trials_of_the_study_are_not_changed(tmp_path: Path) -> None:
    study = hostile_study()
    before = study.get_trials()
    report(study, tmp_path)
    assert study.get_trials() == before


def test_figure_that_optuna_refuses_is_replaced_by_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("<no> such figure")

    monkeypatch.setattr(optuna.visualization, "plot_timeline", refuse)
    html = report(make_study([make_trial(0)]), tmp_path)
    assert "Optuna could not draw this figure: &lt;no&gt; such figure" in section(html, "timeline")
    assert "history" in drawn_sections(html)


def test_bug_in_a_figure_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna.visualization, "plot_timeline", lambda study: None)
    with pytest.raises(AttributeError):
        report(make_study([make_trial(0)]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def several_objectives(n: int, tmp_path: Path) -> str:
    study = optuna.create_study(directions=["maximize", "minimize", "minimize", "minimize"][:n])
    for i in range(12):
        trial = make_trial(i)
        trial.values, trial.intermediate_values = [trial.values[0], *(100.0 * (i + 1) * k for k in range(1, n))], {}
        trial.user_attrs = {"epoch 0": 0.1, "epoch 1": 0.5}
        study.add_trial(trial)
    record_objectives(study, ["val/acc", MARKUP, "c", "d"][:n], ship="knee")
    return report(study, tmp_path)


@pytest.mark.parametrize("n", [2, 3])
def test_several_objectives_have_a_figure_and_a_table_of_the_front(n: int, tmp_path: Path) -> None:
    html = several_objectives(n, tmp_path)
    figure = figure_of(html, "front")
    assert [trace["name"] for trace in figure["data"]] == ["other complete trial", "on the Pareto front"]
    assert figure["data"][1]["marker"]["symbol"].count("diamond") == 1
    assert section(html, "front").count("ship=knee</td>") == 1
    assert "ship=knee" in section(html, "best")
    assert "A search for the highest <code>val/acc</code> and the lowest <code>" in html
    assert len(figure_of(html, "history")["data"][0]["y"]) == 12
    assert figure_of(html, "curves")["data"][0]["y"] == [0.1, 0.5]
    assert "<img src=x" not in html.replace(get_plotlyjs(), "")


def test_a_front_that_can_not_be_drawn_has_its_table(tmp_path: Path) -> None:
    front = section(several_objectives(4, tmp_path), "front")
    assert "A Pareto front of 4 objectives can&#x27;t be drawn." in front
    assert "<td>ship=knee</td>" in front


def test_a_single_objective_has_no_front(tmp_path: Path) -> None:
    assert 'id="front"' not in report(make_study([make_trial(i) for i in range(3)]), tmp_path)


def test_each_line_has_the_value_of_the_trial_whose_hyperparameters_it_shows(tmp_path: Path) -> None:
    """Optuna sorts the lines by categories that are numbers."""
    space: dict[str, BaseDistribution] = {
        "data.batch_size": CategoricalDistribution((32, 64, 128)),
        "optimizer.lr": FloatDistribution(0.0, 3.0),
    }
    study = optuna.create_study(direction="maximize")
    for i in range(12):
        params = {"data.batch_size": (128, 32, 64, 32)[i % 4], "optimizer.lr": i / 4}
        study.add_trial(create_trial(params=params, distributions=space, value=(i * 5) % 12 / 12))
    lines = [line for line in figure_of(report(study, tmp_path), "parallel")["data"] if "customdata" in line]
    assert len(lines) == 12
    shown = {float(line["customdata"][-1][1]): line["customdata"][0][1] for line in lines}
    assert shown == {trial.params["optimizer.lr"]: f"{trial.value:.4g}" for trial in study.trials}
    assert lines[-1]["y"][0] == max(line["y"][0] for line in lines)  # the best one is drawn above the others
