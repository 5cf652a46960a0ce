"""The figures of the report. Each function returns a drawing, or raises `NothingToShowError`.

Optuna imports its figures and plotly at the first use of `optuna.visualization`, so that no trial pays for them.
"""

import math
from collections.abc import Sequence
from html import unescape
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from lightsweep.report.formatting import format_duration, format_value
from lightsweep.report.plotly_figure import (
    COLORS,
    WORST_TO_BEST,
    Drawing,
    Panel,
    cut,
    draw,
    fit_y_axis,
    outside_note,
    sampled_note,
    update,
    update_axes,
    update_traces,
    whole_ticks,
)
from lightsweep.report.slices import slices
from lightsweep.report.snapshot import STATES, NothingToShowError, StudySnapshot, escape_markup
from lightsweep.report.value_range import ValueRange
from lightsweep.trial.status import reported_by, status_of, value_of

# Larger figures are unreadable, and a phone takes more than a second or two to draw them.
MAX_CURVES = 100
MAX_LINES = 200
MAX_BARS = 250
# PED-ANOVA compares the best tenth with all trials, and Optuna wants five trials in that tenth.
MIN_FOR_IMPORTANCES = 10
ENOUGH_FOR_IMPORTANCES = 50


def history(snapshot: StudySnapshot) -> Drawing:
    complete = snapshot.require_complete()
    study = snapshot.to_study(complete)
    figure = draw(optuna.visualization.plot_optimization_history, study, target_name=snapshot.target_name)
    values, best_so_far = figure["data"][:2]
    update(values, name="complete trial", marker={"color": COLORS["complete"], "size": 6, "opacity": 0.75})
    update(best_so_far, name="best so far", line={"color": COLORS["best"], "width": 2, "shape": "hv"})
    update_traces(figure, hovertemplate="trial %{x}: %{y:.4g}<extra></extra>")
    update_axes(figure, "xaxis", title={"text": "trial"}, **whole_ticks(snapshot.trials[-1].number))
    values = [value_of(trial) for trial in complete]
    shown = ValueRange.of(values, direction=snapshot.direction)
    fit_y_axis(figure, shown)
    note = "Pruned and failed trials have no dot." + outside_note(shown, values)
    alt = f"Values of {len(complete):,} complete trials and the best so far; {_best_in_words(snapshot)}."
    return Drawing(note=note, panels=[Panel(figure=figure, alt=alt)])


def _best_in_words(snapshot: StudySnapshot) -> str:
    best = snapshot.best
    if best is None:
        return "no trial is feasible"
    return f"the best is {snapshot.monitor} {format_value(value_of(best))} of trial {best.number}"


def front(snapshot: StudySnapshot) -> Drawing:
    """Draw the values of all complete trials; raise `NothingToShowError` unless they have two or three objectives."""
    if len(snapshot.objectives) not in (2, 3):
        raise NothingToShowError(f"A Pareto front of {len(snapshot.objectives)} objectives can't be drawn.")
    complete = snapshot.require_complete()
    names = [escape_markup(name) for name in snapshot.objectives]
    study = snapshot.to_study(complete, n_objectives=len(names))
    figure = draw(optuna.visualization.plot_pareto_front, study, target_names=names)
    *infeasible, others, on_front = figure["data"]  # Optuna's traces; the first one only if trials have constraints
    figure["data"] = [trace for trace in infeasible if trace["x"]] + [others, on_front]
    _style_dots(others, "other complete trial", color=COLORS["pruned"], size=6)
    _style_dots(on_front, "on the Pareto front", color=COLORS["best"], size=9)
    numbers = sorted(trial.number for trial in snapshot.front.trials)  # the order of the dots
    chosen = None if snapshot.best is None else snapshot.best.number
    on_front["marker"]["symbol"] = ["diamond" if number == chosen else "circle" for number in numbers]
    if len(names) == 3:
        update(figure["layout"], scene={"camera": {"eye": {"x": 1.6, "y": 1.6, "z": 1.0}}})  # room for the labels
    note = f"A dot per complete trial. The diamond is the trial that ship={snapshot.ship} chooses."
    alt = f"{len(complete):,} complete trials, {len(numbers):,} of them on the front; the table below has their values."
    return Drawing(note=note, panels=[Panel(figure=figure, height=420 if len(names) == 2 else 560, alt=alt)])


def _style_dots(trace: dict[str, Any], name: str, *, color: str, size: int) -> None:
    """Give the dots one colour, in place of one by the number of the trial with a bar of colours."""
    marker = {"color": color, "size": size, "colorscale": None, "colorbar": None}
    update(trace, name=name, showlegend=True, marker=marker)


def curves(snapshot: StudySnapshot) -> Drawing:
    with_curve = [t for t in snapshot.trials if reported_by(t) and status_of(t) in ("complete", "pruned")]
    if not with_curve:
        raise NothingToShowError("No complete or pruned trial reported a value during training.")
    drawn = snapshot.sample(with_curve, MAX_CURVES)
    figure = draw(optuna.visualization.plot_intermediate_values, snapshot.to_study(drawn))
    # Optuna's traces are in the order of the trials.
    kinds = ["best" if trial is snapshot.best else STATES[trial.state] for trial in drawn]
    for trial, kind, trace in zip(drawn, kinds, figure["data"], strict=True):
        _style_curve(trace, trial, kind=kind, first_of_kind=drawn[kinds.index(kind)] is trial, step=snapshot.step)
    figure["data"].sort(key=lambda trace: ["complete", "pruned", "best"].index(trace["legendgroup"]))
    update(figure["layout"], showlegend=True)
    ticks = whole_ticks(max(max(reported_by(t)) for t in drawn))
    update_axes(figure, "xaxis", title={"text": snapshot.step}, **ticks)
    update_axes(figure, "yaxis", title={"text": snapshot.target_name})
    values = [value for trial in drawn for value in reported_by(trial).values()]
    shown = ValueRange.of(values, direction=snapshot.direction)
    fit_y_axis(figure, shown)
    note = "One line per trial. Pruned trials are grey and dashed, with a cross where they were stopped."
    note += sampled_note(drawn, with_curve, what="trials") + outside_note(shown, values)
    n_pruned = sum(status_of(trial) == "pruned" for trial in drawn)
    alt = f"Learning curves of {len(drawn) - n_pruned:,} complete and {n_pruned:,} pruned trials."
    return Drawing(note=note, panels=[Panel(figure=figure, alt=alt, height=420)])


def _style_curve(trace: dict[str, Any], trial: FrozenTrial, *, kind: str, first_of_kind: bool, step: str) -> None:
    pruned = kind == "pruned"
    finite = [i for i, value in enumerate(trace["y"]) if math.isfinite(value)]
    sizes = [0] * len(trace["y"])
    if finite:
        sizes[finite[-1]] = 7 if pruned else 5
    update(
        trace,
        name={"best": f"best (trial {trial.number})", "pruned": "× pruned", "complete": "complete"}[kind],
        legendgroup=kind,
        showlegend=first_of_kind,
        line={"color": COLORS[kind], "width": 3 if kind == "best" else 1.2, "dash": "dot" if pruned else "solid"},
        marker={"color": COLORS[kind], "size": sizes, "symbol": "x" if pruned else "circle", "maxdisplayed": 0},
        opacity={"best": 1, "pruned": 0.9, "complete": 0.6}[kind],
        hovertemplate=f"trial {trial.number} ({STATES[trial.state]}), {step} %{{x}}: %{{y:.4g}}<extra></extra>",
    )


def importances(snapshot: StudySnapshot) -> Drawing:
    complete = snapshot.require_complete()
    if len(complete) < MIN_FOR_IMPORTANCES:
        raise NothingToShowError(f"Importances need {MIN_FOR_IMPORTANCES} complete trials, not only {len(complete)}.")
    study = snapshot.to_study(complete)
    figure = draw(optuna.visualization.plot_param_importances, study, target_name=snapshot.target_name)
    importances = [x for trace in figure["data"] for x in trace["x"]]
    if len(importances) < 2:
        raise NothingToShowError("Importances compare hyperparameters; fewer than two were searched.")
    if len(set(importances)) == 1:  # Optuna's result if the values have no effect
        raise NothingToShowError("The hyperparameters can't be ranked: all are equally important.")
    update_traces(figure, marker={"color": COLORS["complete"]}, hovertemplate="%{y}: %{x:.3f}<extra></extra>")
    update_axes(figure, "xaxis", title={"text": "importance"}, range=[0, 1.15 * max(importances)])
    update_axes(figure, "yaxis", title={"text": ""}, showgrid=False, ticks="outside", tickcolor="rgba(0,0,0,0)")
    note = "The share of each hyperparameter in reaching the best tenth of the values (PED-ANOVA; the sum is 1)."
    if len(complete) < ENOUGH_FOR_IMPORTANCES:
        note += f" Only a rough estimate, from {len(complete)} complete trials."
    names = [str(name).strip() for trace in figure["data"] for name in trace["y"]]
    alt = ", ".join(f"{unescape(name)} {x:.2f}" for name, x in zip(names, importances, strict=True))
    height = 90 + 34 * len(importances)
    return Drawing(note=note, panels=[Panel(figure=figure, alt=f"Importances, rising: {alt}.", height=height)])


def parallel(snapshot: StudySnapshot) -> Drawing:
    complete = snapshot.require_complete()
    drawn = snapshot.sample(complete, MAX_LINES)
    shown = ValueRange.of([value_of(trial) for trial in drawn], direction=snapshot.direction)
    study = snapshot.to_study(drawn, scale=lambda value: _scaled(value, shown))
    axes = [None, *_distributions(study).values()]  # the first axis is the metric's
    by_line = _trials_by_line(study, drawn)
    values = [value_of(trial) for trial in by_line]
    target_name = f"{'log10 ' if shown.needs_log else ''}{snapshot.target_name}"
    figure = draw(optuna.visualization.plot_parallel_coordinate, study, target_name=target_name)
    lines, of_feasibility, legend = figure["data"][: len(drawn)], figure["data"][len(drawn) : -1], figure["data"][-1]
    for trial, line in zip(by_line, lines, strict=True):
        line["customdata"] = [[snapshot.target_name, f"{value_of(trial):.4g}"], *line["customdata"][1:]]
    is_any_infeasible = any(line["line"]["dash"] == "dot" for line in lines)
    update_traces({"data": of_feasibility}, line={"color": COLORS["pruned"]})
    colored = _colored(lines, values, shown, snapshot=snapshot)
    figure["data"] = [*colored, *(of_feasibility if is_any_infeasible else []), legend]
    colorbar = {"title": {"text": ""}, "thickness": 12}
    update(legend, marker={"colorscale": None})
    update(legend, marker={"colorbar": colorbar, "colorscale": WORST_TO_BEST, "reversescale": not snapshot.maximizes})
    update_axes(figure, "xaxis", tickangle=0, side="top")
    update(figure["layout"], margin={"l": 60}, annotations=_axis_labels(figure["layout"]["annotations"], axes))
    note = "One line per complete trial, from grey for the worst to orange for the best."
    note += sampled_note(drawn, complete, what="complete trials") + outside_note(shown, values)
    alt = f"A line per complete trial through its value and its {len(axes) - 1} hyperparameters."
    return Drawing(note=note, panels=[Panel(figure=figure, alt=alt, height=420, min_width=120 * len(axes))])


def _trials_by_line(study: optuna.Study, drawn: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials in the order of Optuna's lines, which it sorts by categories that are numbers.

    A figure of the trials' numbers has the same order, and tells it.
    """
    figure = draw(optuna.visualization.plot_parallel_coordinate, study, target=lambda trial: float(trial.number))
    heights = [line["y"][0] for line in figure["data"][: len(drawn)]]
    lines = sorted(range(len(drawn)), key=heights.__getitem__)
    numbered = sorted(drawn, key=lambda trial: trial.number)
    return [trial for _, trial in sorted(zip(lines, numbered, strict=True), key=lambda pair: pair[0])]


def _colored(
    lines: Sequence[dict[str, Any]], values: Sequence[float], shown: ValueRange, *, snapshot: StudySnapshot
) -> list[dict[str, Any]]:
    """Color the lines by their values, and return them with the best one last, which is drawn above the others."""
    from plotly.colors import sample_colorscale

    scaled = [_scaled(value, shown) for value in values]
    low, high = min(scaled), max(scaled)
    goodness = [(value - low) / (high - low) if high > low else 1.0 for value in scaled]
    if not snapshot.maximizes:
        goodness = [1.0 - each for each in goodness] if high > low else goodness
    for line, color in zip(lines, sample_colorscale(WORST_TO_BEST, goodness), strict=True):
        update(line, line={"color": color}, opacity=0.7)
    return [line for _, _, line in sorted(zip(goodness, range(len(lines)), lines, strict=True), key=lambda x: x[:2])]


def _scaled(value: float, shown: ValueRange) -> float:
    return math.log10(shown.clip(value)) if shown.needs_log else shown.clip(value)


def _distributions(study: optuna.Study) -> dict[str, BaseDistribution]:
    """Return the distributions sorted by name, which is the order of Optuna's figures."""
    distributions = {name: d for t in study.get_trials(deepcopy=False) for name, d in t.distributions.items()}
    if not distributions:
        raise NothingToShowError("The complete trials have no hyperparameters.")
    return dict(sorted(distributions.items()))


def _axis_labels(labels: Sequence[dict[str, Any]], axes: Sequence[BaseDistribution | None]) -> list[Any]:
    """Return Optuna's labels, legible above the lines; an axis of integers loses those that are fractions."""
    kept = []
    for label in labels:
        is_fraction = "." in label["text"] and "e" not in label["text"]
        if not (is_fraction and isinstance(axes[label["x"]], IntDistribution)):
            update(label, font={"size": 11}, bgcolor="rgba(255, 255, 255, 0.8)", text=cut(label["text"]))
            kept.append(label)
    return kept


def timeline(snapshot: StudySnapshot) -> Drawing:
    trials = snapshot.require_trials()
    drawn = trials[-MAX_BARS:]
    figure = draw(optuna.visualization.plot_timeline, snapshot.to_study(drawn))
    figure["data"] = [trace for trace in figure["data"] if trace["name"] != TrialState.WAITING.name]
    for trace in figure["data"]:
        _style_bars(trace)
    update_axes(figure, "xaxis", title=None, tickangle=0, nticks=5)
    update_axes(figure, "yaxis", title={"text": "trial"}, **whole_ticks(trials[-1].number))
    note = "When each trial ran."
    if len(drawn) < len(trials):
        note += f" The latest {len(drawn):,} of {len(trials):,} trials are drawn."
    alt = f"When each of {len(drawn):,} trials ran and how it ended; the table of trials has the times."
    return Drawing(note=note, panels=[Panel(figure=figure, alt=alt)])


def _style_bars(trace: dict[str, Any]) -> None:
    name = {state.name: word for state, word in STATES.items()}.get(trace["name"], trace["name"].lower())
    color = COLORS.get(name, "#cccccc")
    update(
        trace,
        name=name,
        text=None,
        customdata=[format_duration(milliseconds / 1000) for milliseconds in trace["x"]],
        hovertemplate=f"trial %{{y}}: %{{customdata}} ({name})<extra></extra>",
        marker={"color": color, "line": {"color": color, "width": 1}},  # the line keeps a short trial visible
    )


BY_NAME = {
    "front": front,
    "history": history,
    "curves": curves,
    "importances": importances,
    "parallel": parallel,
    "slices": slices,
    "timeline": timeline,
}
