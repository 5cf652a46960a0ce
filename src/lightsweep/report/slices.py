"""The slices of the report: the values of all trials over each hyperparameter, also of pruned and failed trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial

from lightsweep.report.formatting import format_value
from lightsweep.report.plotly_figure import (
    COLORS,
    EARLY_TO_LATE,
    Drawing,
    Figure,
    Panel,
    cut,
    fit_y_axis,
    outside_note,
    sampled_note,
    whole_ticks,
)
from lightsweep.report.snapshot import NothingToShowError, StudySnapshot, escape_markup
from lightsweep.report.value_range import ValueRange
from lightsweep.trial.params import params_of
from lightsweep.trial.status import status_of, value_of

MAX_DOTS = 1000  # of a kind


def slices(snapshot: StudySnapshot) -> Drawing:
    """Draw a panel per hyperparameter of the complete trials, sorted by the names shown."""
    complete = snapshot.require_complete()
    drawn = snapshot.sample(complete, MAX_DOTS)
    values = [value_of(trial) for trial in drawn]
    dots = _Dots(
        complete=drawn,
        pruned=snapshot.sample([t for t in snapshot.trials if status_of(t) == "pruned"], MAX_DOTS),
        failed=snapshot.sample([t for t in snapshot.trials if status_of(t) in ("failed", "infeasible")], MAX_DOTS),
        shown=ValueRange.of(values, direction=snapshot.direction),
        worst=min(values) if snapshot.maximizes else max(values),
    )
    distributions = {name: d for t in drawn for name, d in t.distributions.items()}
    if not distributions:
        raise NothingToShowError("The complete trials have no hyperparameters.")
    short = snapshot.short_names
    panels = [_panel(dots, name, distributions[name], short) for name in sorted(distributions, key=short.__getitem__)]
    note = f"{snapshot.monitor} of each complete trial; the bluer, the later."
    note += " Grey crosses are pruned trials at their last value, red bars at the worst edge failed ones."
    note += sampled_note(drawn, complete, what="complete trials") + outside_note(dots.shown, values)
    return Drawing(note=note, panels=panels, is_grid=True)


@dataclass(frozen=True, kw_only=True)
class _Dots:
    """The trials to draw. Those that failed have no value and are drawn at the `worst` one."""

    complete: Sequence[FrozenTrial]
    pruned: Sequence[FrozenTrial]
    failed: Sequence[FrozenTrial]
    shown: ValueRange
    worst: float


def _panel(dots: _Dots, name: str, distribution: BaseDistribution, short: Mapping[str, str]) -> Panel:
    edge = dots.shown.clip(dots.worst)
    traces = [
        _trace([(t, edge) for t in dots.failed], name, distribution, color=COLORS["failed"], symbol="line-ns-open"),
        _trace(
            [(t, dots.shown.clip(t.value)) for t in dots.pruned if t.value is not None],
            name,
            distribution,
            color=COLORS["pruned"],
            symbol="x-thin-open",
        ),
        _complete(dots, name, distribution),
    ]
    axis: dict[str, Any] = {"title": {"text": short[name]}, "type": "log" if _is_log(distribution) else "linear"}
    figure: Figure = {
        "data": [trace for trace in traces if trace["x"]],
        "layout": {"xaxis": axis | _ticks(distribution), "yaxis": {}, "showlegend": False},
    }
    fit_y_axis(figure, dots.shown)
    return Panel(figure=figure, alt=f"Values over {name}; the table of trials has them.", name=short[name], height=260)


def _complete(dots: _Dots, name: str, distribution: BaseDistribution) -> dict[str, Any]:
    trace = _trace([(t, value_of(t)) for t in dots.complete], name, distribution, color="", symbol="circle")
    numbers = [trial.number for trial in dots.complete if name in trial.params]
    trace["marker"] |= {"color": numbers, "colorscale": EARLY_TO_LATE, "size": 7, "line": {"width": 0}}
    return trace


def _trace(
    points: Sequence[tuple[FrozenTrial, float]], name: str, distribution: BaseDistribution, *, color: str, symbol: str
) -> dict[str, Any]:
    """Return the dots of those trials that have the hyperparameter."""
    points = [(trial, value) for trial, value in points if name in trial.params]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [_position(trial.params[name], distribution) for trial, _ in points],
        "y": [value for _, value in points],
        "text": [_text(trial, name) for trial, _ in points],
        "marker": {"color": color, "symbol": symbol, "size": 6, "line": {"width": 1.2}},
        "hovertemplate": "%{text}: %{y:.4g}<extra></extra>",
    }


def _text(trial: FrozenTrial, name: str) -> str:
    status = status_of(trial)
    state = "" if status == "complete" else f" ({status})"
    return f"trial {trial.number}{state}, {escape_markup(format_value(params_of(trial)[name]))}"


def _position(value: Any, distribution: BaseDistribution) -> float:
    """Return the number of a choice, and a number as it is."""
    return distribution.to_internal_repr(value) if isinstance(distribution, CategoricalDistribution) else value


def _ticks(distribution: BaseDistribution) -> dict[str, Any]:
    if isinstance(distribution, CategoricalDistribution):
        n = len(distribution.choices)
        labels = [escape_markup(cut(str(choice))) for choice in distribution.choices]
        return {"tickvals": list(range(n)), "ticktext": labels, "range": [-0.5, n - 0.5]}
    if isinstance(distribution, IntDistribution) and not distribution.log:
        return whole_ticks(distribution.high - distribution.low)
    return {}


def _is_log(distribution: BaseDistribution) -> bool:
    return bool(getattr(distribution, "log", False))
