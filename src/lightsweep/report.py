"""A search as one HTML file: its figures, its trials, and nothing to load from elsewhere.

Optuna's figures and plotly are imported where a figure is drawn: no trial needs them.
"""

import contextlib
import copy
import math
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightsweep.files import write_atomically
from lightsweep.sweeper.fate import FAIL_KIND, FAIL_REASON, FATES, fate_of
from lightsweep.sweeper.progress import short

Figure = dict[str, Any]  # in plotly's JSON: to update its objects would take longer than all else in the report

STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}  # in a figure
COLORS = {"complete": "#3565c9", "pruned": "#7b8694", "failed": "#d64550", "best": "#e8710a"}

# What can be told apart in a figure, and drawn by a phone within a second or two.
MAX_CURVES = 100
MAX_LINES = 200
MAX_DOTS = 1000
MAX_BARS = 250
MAX_OPEN_ROWS = 60

# PED-ANOVA compares the best tenth with all trials; Optuna asks for five trials in that tenth.
MIN_FOR_IMPORTANCES = 10
ENOUGH_FOR_IMPORTANCES = 50


def write_report(study: optuna.Study, path: Path, *, title: str, monitor: str, facts: Mapping[str, str]) -> None:
    """Write the finished trials of a study as a page that needs no network and reads well on a phone.

    `facts` are shown at the top, label and text. A figure that can't be drawn is replaced by one sentence that
    says why. Names, values and reasons of the study are not trusted: they never become markup or code.
    """
    search = _Search.of(study, monitor=monitor)
    with _quiet_optuna():
        sections = [_facts(facts), *(section.html(search) for section in SECTIONS)]
    write_atomically(path, _page(title=title, search=search, body="\n".join(sections)))


class _CannotDrawError(Exception):
    """Says in one sentence why a figure is missing."""


@dataclass(frozen=True, kw_only=True)
class _Search:
    """The finished trials of a study, as they were at one moment."""

    trials: list[FrozenTrial]
    direction: StudyDirection
    monitor: str

    @classmethod
    def of(cls, study: optuna.Study, *, monitor: str) -> "_Search":
        trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state in STATES]
        return cls(trials=trials, direction=study.direction, monitor=monitor)

    @cached_property
    def complete(self) -> list[FrozenTrial]:
        return [t for t in self.trials if t.state == TrialState.COMPLETE and math.isfinite(_value(t))]

    @cached_property
    def best(self) -> FrozenTrial | None:
        feasible = [t for t in self.complete if all(c <= 0 for c in t.constraints.values())]
        choose = max if self.direction == StudyDirection.MAXIMIZE else min
        return choose(feasible, key=_value, default=None)

    @cached_property
    def param_names(self) -> list[str]:
        return list(dict.fromkeys(name for trial in self.trials for name in trial.params))

    def complete_or_say_why(self) -> list[FrozenTrial]:
        if complete := self.complete:
            return complete
        raise _CannotDrawError(
            "No trial has completed with a finite value." if self.trials else "No trial has finished yet."
        )

    def sample(self, trials: Sequence[FrozenTrial], limit: int) -> list[FrozenTrial]:
        """At most `limit` of the trials, evenly spread, and the best in any case."""
        if len(trials) <= limit:
            return list(trials)
        n_spread = limit - 1
        kept = {trials[i * len(trials) // n_spread].number for i in range(n_spread)}
        if self.best is not None:
            kept.add(self.best.number)
        return [trial for trial in trials if trial.number in kept]

    def drawable(self, trials: Sequence[FrozenTrial], *, log_values: bool = False) -> optuna.Study:
        """A study of these trials only, with the same numbers, in which no text can be read as markup.

        Filled through the storage, since `add_trial` refuses values that were enqueued outside of their range.
        """
        storage = optuna.storages.InMemoryStorage()
        study = optuna.create_study(storage=storage, direction=self.direction)
        study_id = storage.get_study_id_from_name(study.study_name)
        names = _short_names(self.param_names)
        chosen = {trial.number: _drawable(trial, names, log_value=log_values) for trial in trials}
        n_trials = self.trials[-1].number + 1 if self.trials else 0
        for number in range(n_trials):
            storage.create_new_trial(study_id, chosen.get(number) or create_trial(state=TrialState.WAITING))
        return study


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _drawable(trial: FrozenTrial, names: Mapping[str, str], *, log_value: bool) -> FrozenTrial:
    drawable = copy.copy(trial)  # the study's own trial stays as it is
    drawable.params = {names[name]: _drawable_value(value) for name, value in trial.params.items()}
    drawable.distributions = {names[name]: _drawable_distribution(d) for name, d in trial.distributions.items()}
    drawable.user_attrs = {}
    if fate_of(trial) == "infeasible":  # Optuna would draw it as pruned
        drawable.state = TrialState.FAIL
    if log_value:
        drawable.value = math.log10(_value(trial))
    return drawable


def _drawable_distribution(distribution: BaseDistribution) -> BaseDistribution:
    if isinstance(distribution, CategoricalDistribution):
        return CategoricalDistribution([_drawable_value(choice) for choice in distribution.choices])
    return distribution


def _drawable_value(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else _markup_free(str(value))


def _markup_free(text: str) -> str:
    return escape(text, quote=False)  # plotly draws `&lt;` as `<`, but leaves `&quot;` as it is


def _short_names(names: Sequence[str]) -> dict[str, str]:
    """The last parts of each config path, as few as tell it from the others: `optimizer.lr` becomes `lr`."""
    return {name: _markup_free(_short_name(name, names)) for name in names}


def _short_name(name: str, names: Sequence[str]) -> str:
    parts = name.split(".")
    suffixes = [".".join(parts[i:]) for i in reversed(range(len(parts)))]
    others = [f".{other}" for other in names if other != name]
    return next((s for s in suffixes if not any(o.endswith(f".{s}") for o in others)), name)


@contextlib.contextmanager
def _quiet_optuna() -> Iterator[None]:
    """What Optuna would log or warn about is said in the report."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # ExperimentalWarning is one of them
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


@dataclass(frozen=True, kw_only=True)
class _Section:
    """A heading and what is below it; `body` may raise `_CannotDrawError`."""

    anchor: str
    heading: str
    body: Callable[[_Search], str]

    def html(self, search: _Search) -> str:
        try:
            body = self.body(search)
        except _CannotDrawError as reason:
            body = _note(str(reason))
        return f'<section id="{self.anchor}">\n<h2>{self.heading}</h2>\n{body}\n</section>'


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _how_many(drawn: Sequence[object], of: Sequence[object], *, what: str) -> str:
    """A clause for a note, empty when everything is drawn."""
    if len(drawn) == len(of):
        return ""
    return f" {len(drawn):,} of {len(of):,} {what} are drawn, evenly spread."


def _by_optuna(plot: Callable[..., Any], study: optuna.Study, **options: Any) -> Figure:
    """The figure that Optuna draws, or its own words on why it can't."""
    try:
        figure: Figure = plot(study, **options).to_dict()
    except (ValueError, RuntimeError) as error:
        raise _CannotDrawError(f"Optuna could not draw this figure: {error}") from error
    return figure


def _update(node: dict[str, Any], **changes: Any) -> None:
    """Change a trace, an axis or a layout as plotly's own `update` does: what it has is kept, None takes away."""
    for name, value in changes.items():
        if value is None:
            node.pop(name, None)
        elif isinstance(value, dict) and isinstance(node.get(name), dict):
            _update(node[name], **value)
        else:
            node[name] = value


def _update_traces(figure: Figure, **changes: Any) -> None:
    for trace in figure["data"]:
        _update(trace, **changes)


def _update_axes(figure: Figure, kind: str, **changes: Any) -> None:
    """Change all axes of a kind, `xaxis` or `yaxis`."""
    layout = figure["layout"]
    layout.setdefault(kind, {})
    for name in layout:
        if name.startswith(kind):
            _update(layout[name], **changes)


def _facts(facts: Mapping[str, str]) -> str:
    cells = [
        f'<div class="{"wide" if len(text) > 36 else ""}"><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>'
        for label, text in facts.items()
    ]
    return f'<dl class="facts">{"".join(cells)}</dl>'


def _best_params(search: _Search) -> str:
    search.complete_or_say_why()
    best = search.best
    if best is None:
        raise _CannotDrawError("No complete trial is feasible.")
    epoch = best.user_attrs.get("best_epoch")
    reached = "" if epoch is None else f" at epoch {epoch}"
    rows = "".join(
        f"<tr><th><code>{escape(name)}</code></th><td><code>{escape(short(value))}</code></td></tr>"
        for name, value in best.params.items()
    )
    note = _note(f"Trial {best.number} reached {search.monitor} {short(best.value)}{reached}.")
    return f'{note}<div class="scroll"><table class="params">{rows}</table></div>'


def _history(search: _Search) -> str:
    from optuna.visualization import plot_optimization_history

    complete = search.complete_or_say_why()
    figure = _by_optuna(plot_optimization_history, search.drawable(complete), target_name=_markup_free(search.monitor))
    values, best_so_far = figure["data"][:2]
    _update(values, name="complete trial", marker={"color": COLORS["complete"], "size": 6, "opacity": 0.75})
    _update(best_so_far, name="best so far", line={"color": COLORS["best"], "width": 2, "shape": "hv"})
    _update_traces(figure, hovertemplate="trial %{x}: %{y:.4g}<extra></extra>")
    _update_axes(figure, "xaxis", title={"text": "trial"}, **_whole_ticks(search.trials[-1].number))
    _fit_y_axis(figure, [_value(trial) for trial in complete])
    return _note("Pruned and failed trials have no dot.") + _drawing(figure)


def _whole_ticks(largest: int) -> dict[str, int]:
    """Settings of an axis that counts from 0: without them a short one is labelled 0, 0.5, 1."""
    return {"dtick": 1} if largest <= 10 else {}


def _fit_y_axis(figure: Figure, values: Sequence[float]) -> None:
    if _need_log(values):
        _update_axes(figure, "yaxis", type="log", dtick=1)


def _need_log(values: Sequence[float]) -> bool:
    """Whether a linear scale would press everything but a few diverged trials into one line."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) > 100 * min(finite)


def _curves(search: _Search) -> str:
    from optuna.visualization import plot_intermediate_values

    with_curve = [t for t in search.trials if t.intermediate_values and fate_of(t) in ("complete", "pruned")]
    if not with_curve:
        raise _CannotDrawError("No complete or pruned trial reported a value during training.")
    drawn = search.sample(with_curve, MAX_CURVES)
    figure = _by_optuna(plot_intermediate_values, search.drawable(drawn))
    # Optuna draws the trials in the order of their numbers.
    kinds = ["best" if trial is search.best else STATES[trial.state] for trial in drawn]
    for trial, kind, trace in zip(drawn, kinds, figure["data"], strict=True):
        _style_curve(trace, trial, kind=kind, first_of_kind=drawn[kinds.index(kind)] is trial)
    figure["data"].sort(key=lambda trace: ["complete", "pruned", "best"].index(trace["legendgroup"]))
    _update(figure["layout"], showlegend=True)
    ticks = _whole_ticks(max(max(t.intermediate_values) for t in drawn))
    _update_axes(figure, "xaxis", title={"text": "epoch"}, **ticks)
    _update_axes(figure, "yaxis", title={"text": _markup_free(search.monitor)})
    _fit_y_axis(figure, [value for trial in drawn for value in trial.intermediate_values.values()])
    note = "One line per trial. Pruned trials are grey and dashed, with a cross where they were stopped."
    return _note(note + _how_many(drawn, with_curve, what="trials")) + _drawing(figure, height=420)


def _style_curve(trace: dict[str, Any], trial: FrozenTrial, *, kind: str, first_of_kind: bool) -> None:
    pruned = kind == "pruned"
    finite = [i for i, value in enumerate(trace["y"]) if math.isfinite(value)]
    sizes = [0] * len(trace["y"])
    if finite:
        sizes[finite[-1]] = 7 if pruned else 5
    _update(
        trace,
        name={"best": f"best (trial {trial.number})", "pruned": "× pruned", "complete": "complete"}[kind],
        legendgroup=kind,
        showlegend=first_of_kind,
        line={"color": COLORS[kind], "width": 3 if kind == "best" else 1.2, "dash": "dot" if pruned else "solid"},
        marker={"color": COLORS[kind], "size": sizes, "symbol": "x" if pruned else "circle", "maxdisplayed": 0},
        opacity={"best": 1, "pruned": 0.9, "complete": 0.45}[kind],
        hovertemplate=f"trial {trial.number} ({STATES[trial.state]}), epoch %{{x}}: %{{y:.4g}}<extra></extra>",
    )


def _importances(search: _Search) -> str:
    from optuna.visualization import plot_param_importances

    complete = search.complete_or_say_why()
    if len(complete) < MIN_FOR_IMPORTANCES:
        raise _CannotDrawError(f"Importances need {MIN_FOR_IMPORTANCES} complete trials, not only {len(complete)}.")
    monitor = _markup_free(search.monitor)
    figure = _by_optuna(plot_param_importances, search.drawable(complete), target_name=monitor)
    importances = [x for trace in figure["data"] for x in trace["x"]]
    if len(importances) < 2:
        raise _CannotDrawError("Importances compare hyperparameters; fewer than two were searched.")
    if len(set(importances)) == 1:  # Optuna's answer when it finds nothing to tell them apart
        raise _CannotDrawError("The values of the trials don't tell the hyperparameters apart: all are as important.")
    _update_traces(figure, marker={"color": COLORS["complete"]}, hovertemplate="%{y}: %{x:.3f}<extra></extra>")
    _update_axes(figure, "xaxis", title={"text": "importance"}, range=[0, 1.15 * max(importances)])
    _update_axes(figure, "yaxis", title={"text": ""}, showgrid=False, ticks="outside", tickcolor="rgba(0,0,0,0)")
    note = "The part of each hyperparameter in reaching the best tenth of the values (PED-ANOVA; the sum is 1)."
    if len(complete) < ENOUGH_FOR_IMPORTANCES:
        note += f" Only a rough estimate: it rests on {len(complete)} complete trials."
    return _note(note) + _drawing(figure, height=90 + 34 * len(importances))


def _parallel(search: _Search) -> str:
    from optuna.visualization import plot_parallel_coordinate

    complete = search.complete_or_say_why()
    drawn = search.sample(complete, MAX_LINES)
    log_values = _need_log([_value(trial) for trial in drawn])
    study = search.drawable(drawn, log_values=log_values)
    axes = [None, *_distributions(study).values()]  # the first is the metric's
    monitor = _markup_free(search.monitor)
    figure = _by_optuna(plot_parallel_coordinate, study, target_name=f"log10 {monitor}" if log_values else monitor)
    _update_traces(figure, marker={"colorbar": {"title": {"text": ""}, "thickness": 12}})
    _update_axes(figure, "xaxis", tickangle=0, side="top")
    _update(figure["layout"], margin={"l": 60}, annotations=_axis_labels(figure["layout"]["annotations"], axes))
    note = "One line per complete trial; darker is better." + _how_many(drawn, complete, what="complete trials")
    return _note(note) + _drawing(figure, height=420, min_width=120 * len(axes))


def _distributions(study: optuna.Study) -> dict[str, BaseDistribution]:
    """By name and in the order of the names, as Optuna draws them."""
    distributions = {name: d for t in study.get_trials(deepcopy=False) for name, d in t.distributions.items()}
    if not distributions:
        raise _CannotDrawError("The complete trials have no hyperparameters.")
    return dict(sorted(distributions.items()))


def _axis_labels(labels: Sequence[dict[str, Any]], axes: Sequence[BaseDistribution | None]) -> list[Any]:
    """Optuna's labels, legible above the lines and without the fractions it puts on an axis of whole numbers."""
    kept = [a for a in labels if not (isinstance(axes[a["x"]], IntDistribution) and _is_fraction(a["text"]))]
    for label in kept:
        _update(label, font={"size": 11}, bgcolor="rgba(255, 255, 255, 0.8)", text=_cut(label["text"]))
    return kept


def _is_fraction(text: str) -> bool:
    return "." in text and "e" not in text


def _cut(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:22]}…"


def _slices(search: _Search) -> str:
    from optuna.visualization import plot_slice

    complete = search.complete_or_say_why()
    drawn = search.sample(complete, MAX_DOTS)
    study = search.drawable(drawn)
    values = [_value(trial) for trial in drawn]
    figures = []
    for name, distribution in _distributions(study).items():
        figure = _by_optuna(plot_slice, study, params=[name], target_name=_markup_free(search.monitor))
        _style_slice(figure, distribution, values)
        figures.append(_drawing(figure, height=260))
    note = f"{search.monitor} of each complete trial; darker is later."
    return (
        _note(note + _how_many(drawn, complete, what="complete trials")) + f'<div class="grid">{"".join(figures)}</div>'
    )


def _style_slice(figure: Figure, distribution: BaseDistribution, values: Sequence[float]) -> None:
    _update_traces(figure, marker={"showscale": False, "size": 7})
    _update(figure["data"][0], hovertemplate="trial %{marker.color}, %{x}: %{y:.4g}<extra></extra>")  # its colour
    _update_axes(figure, "yaxis", title={"text": ""})
    _fit_y_axis(figure, values)
    if isinstance(distribution, CategoricalDistribution):  # Optuna's label is the Python literal, with its quotes
        labels = [_cut(str(choice)) for choice in distribution.choices]
        values_of_ticks = [repr(choice) for choice in distribution.choices]
        _update_axes(figure, "xaxis", tickvals=values_of_ticks, ticktext=labels)
    elif isinstance(distribution, IntDistribution) and not distribution.log:
        _update_axes(figure, "xaxis", **_whole_ticks(distribution.high - distribution.low))


def _timeline(search: _Search) -> str:
    from optuna.visualization import plot_timeline

    if not search.trials:
        raise _CannotDrawError("No trial has finished yet.")
    drawn = search.trials[-MAX_BARS:]
    figure = _by_optuna(plot_timeline, search.drawable(drawn))
    figure["data"] = [trace for trace in figure["data"] if trace["name"] != TrialState.WAITING.name]
    for trace in figure["data"]:
        _style_bars(trace)
    _update_axes(figure, "xaxis", title=None, tickangle=0, nticks=5)
    _update_axes(figure, "yaxis", title={"text": "trial"}, **_whole_ticks(search.trials[-1].number))
    note = "When each trial ran."
    if len(drawn) < len(search.trials):
        note += f" The latest {len(drawn):,} of {len(search.trials):,} trials are drawn."
    return _note(note) + _drawing(figure)


def _style_bars(trace: dict[str, Any]) -> None:
    name = {state.name: word for state, word in STATES.items()}.get(trace["name"], trace["name"].lower())
    color = COLORS.get(name, "#cccccc")
    _update(
        trace,
        name=name,
        text=None,
        customdata=[_duration(milliseconds / 1000) for milliseconds in trace["x"]],
        hovertemplate=f"trial %{{y}}: %{{customdata}} ({name})<extra></extra>",
        marker={"color": color, "line": {"color": color, "width": 1}},  # the line keeps a short trial visible
    )


def _drawing(figure: Figure, *, height: int = 360, min_width: int = 0) -> str:
    """The place of a figure and, as the next element, its data: JSON in which `<`, `>` and `/` are escaped."""
    from plotly import io

    layout = figure["layout"]
    layout.pop("template", None)  # another one would be merged with it
    left = layout.get("margin", {}).get("l") or 8
    _update(
        layout,
        template=io.templates["none"].to_plotly_json(),
        title=None,
        autosize=True,
        width=None,
        height=None,
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#3e4c59"},
        margin={"l": left, "r": 12, "t": 12, "b": 8},  # and as much as the labels need
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
    )
    style = {"gridcolor": "#e4e7eb", "zeroline": False, "automargin": True, "exponentformat": "e"}
    for kind in ("xaxis", "yaxis"):
        _update_axes(figure, kind, title={"font": {"size": 13}}, **style)
    return (
        f'<div class="scroll"><div class="figure" style="height:{height}px;min-width:{min_width}px"></div>'
        f'<script type="application/json">{io.to_json(figure, validate=False)}</script></div>'
    )


def _table(search: _Search) -> str:
    if not search.trials:
        raise _CannotDrawError("No trial has finished yet.")
    best = search.best
    head = ["trial", "state", search.monitor, *search.param_names, "epochs", "time", "reason"]
    rows = [_row(trial, search.param_names, is_best=trial is best) for trial in _ranked(search)]
    table = (
        f'<div class="scroll"><table class="trials"><thead><tr>{"".join(f"<th>{escape(h)}</th>" for h in head)}'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
    note = _note("Complete trials from the best to the worst, then the pruned, the infeasible and the failed ones.")
    if len(rows) <= MAX_OPEN_ROWS:
        return note + table
    return f"{note}<details><summary>Show {len(rows):,} trials</summary>{table}</details>"


def _ranked(search: _Search) -> list[FrozenTrial]:
    sign = -1 if search.direction == StudyDirection.MAXIMIZE else 1

    def rank(trial: FrozenTrial) -> tuple[int, float, int]:
        value = sign * _value(trial) if trial.state == TrialState.COMPLETE else 0.0
        return FATES.index(fate_of(trial)), value, trial.number

    return sorted(search.trials, key=rank)


def _row(trial: FrozenTrial, param_names: Sequence[str], *, is_best: bool) -> str:
    state = fate_of(trial)
    texts = [
        "" if trial.value is None else short(trial.value),
        *(short(trial.params[name]) if name in trial.params else "" for name in param_names),
        _epochs(trial),
        _duration(trial.duration.total_seconds()) if trial.duration else "",
    ]
    cells = "".join(f"<td>{escape(text)}</td>" for text in texts)
    return (
        f'<tr class="{"best" if is_best else state}"><th>{trial.number}</th><td><i>{state}</i></td>{cells}'
        f'<td class="reason">{escape(_reason(trial))}</td></tr>'
    )


def _reason(trial: FrozenTrial) -> str:
    attrs = trial.user_attrs
    if FAIL_REASON in attrs:
        return f"{attrs[FAIL_KIND]}: {attrs[FAIL_REASON]}" if FAIL_KIND in attrs else str(attrs[FAIL_REASON])
    return str(attrs.get("pruned_reason", ""))


def _epochs(trial: FrozenTrial) -> str:
    n_epochs, max_epochs = (trial.user_attrs.get(name) for name in ("n_epochs", "max_epochs"))
    if n_epochs is None:
        return ""
    return f"{n_epochs}" if max_epochs is None else f"{n_epochs} of {max_epochs}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


SECTIONS = [
    _Section(anchor="best", heading="Best hyperparameters", body=_best_params),
    _Section(anchor="history", heading="Optimization history", body=_history),
    _Section(anchor="curves", heading="Learning curves", body=_curves),
    _Section(anchor="importances", heading="Hyperparameter importances", body=_importances),
    _Section(anchor="parallel", heading="Parallel coordinates", body=_parallel),
    _Section(anchor="slices", heading="Slices", body=_slices),
    _Section(anchor="timeline", heading="Timeline", body=_timeline),
    _Section(anchor="trials", heading="Trials", body=_table),
]


def _page(*, title: str, search: _Search, body: str) -> str:
    """The whole file. The browser itself is told to load nothing and to run only the scripts with this nonce."""
    from plotly.offline import get_plotlyjs

    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src data: blob:;"
        " base-uri 'none'; form-action 'none'"
    )
    links = "".join(f'<a href="#{section.anchor}">{section.heading}</a>' for section in SECTIONS)
    aim = "highest" if search.direction == StudyDirection.MAXIMIZE else "lowest"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · {escape(search.monitor)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<p class="lead">A search for the {aim} <code>{escape(search.monitor)}</code></p>
<nav>{links}</nav>
<noscript>The figures need JavaScript; the facts and the table of trials don't.</noscript>
{body}
<footer>Made by Lightsweep with Optuna and Plotly.</footer>
</main>
<script nonce="{nonce}">{get_plotlyjs()}</script>
<script nonce="{nonce}">{SCRIPT}</script>
</body>
</html>
"""


STYLE = """
:root { color-scheme: light; --ink: #1f2933; --muted: #5f6b7a; --line: #e4e7eb; --accent: #3565c9; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: #f5f6f8; color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 20px; }
h1 { margin: 0; font-size: 1.8rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 0 0 4px; font-size: 1.15rem; }
code { font: 0.92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.lead, .note, footer { color: var(--muted); }
.lead { margin: 4px 0 12px; }
.note { margin: 0 0 10px; font-size: 0.92rem; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; margin-bottom: 16px; font-size: 0.92rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
section, .facts { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px;
  margin: 0 0 16px; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 12px 20px; }
.facts:empty { display: none; }
.facts .wide { grid-column: 1 / -1; }
dt { color: var(--muted); font-size: 0.85rem; }
dd { margin: 0; font-weight: 600; white-space: pre-line; overflow-wrap: anywhere; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 8px; }
.scroll { overflow-x: auto; min-width: 0; }
.figure { width: 100%; }
table { border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 14px 5px 0; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--muted); font-weight: 600; }
.params th { font-weight: 400; color: var(--muted); padding-right: 28px; }
.params tr:first-child > * { border-top: 0; }
.trials th, .trials td { white-space: nowrap; max-width: 44ch; overflow: hidden; text-overflow: ellipsis; }
.trials tbody th { position: sticky; left: 0; background: #fff; }
.trials .reason { white-space: pre-line; min-width: 60ch; max-width: 60ch; color: var(--muted); }
.trials i { font-style: normal; color: #3565c9; }
.trials .pruned, .trials .pruned i { color: var(--muted); }
.trials .failed i, .trials .infeasible i { color: #d64550; }
.trials .best > * { background: #fff4e8; }
summary { cursor: pointer; color: var(--accent); padding: 4px 0; }
footer { font-size: 0.85rem; text-align: center; }
@media (max-width: 600px) {
  main { padding: 16px 10px; }
  section, .facts { padding: 12px; }
}
"""

SCRIPT = """
const touch = !matchMedia("(hover: hover)").matches;
const config = {
  responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover",
  modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
};
for (const place of document.querySelectorAll(".figure")) {
  const { data, layout } = JSON.parse(place.nextElementSibling.textContent);
  if (touch) layout.dragmode = false;  // a finger on a figure scrolls the page
  Plotly.newPlot(place, data, layout, config);
}
"""
