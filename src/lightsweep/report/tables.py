"""The tables of the report, as HTML: the best hyperparameters and all trials."""

from html import escape

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lightsweep.report import figures
from lightsweep.report.formatting import format_duration, format_value
from lightsweep.report.plotly_figure import note_html
from lightsweep.report.snapshot import NothingToShowError, StudySnapshot
from lightsweep.trial.status import STATUSES, epochs_of, reason_of, status_of, value_of, values_of

MAX_OPEN_ROWS = 60


def best_params(snapshot: StudySnapshot) -> str:
    snapshot.require_complete()
    best = snapshot.best
    if best is None:
        raise NothingToShowError("No complete trial is feasible.")
    epoch = best.user_attrs.get("best_epoch")
    at_epoch = "" if epoch is None else f" at epoch {epoch}"
    rows = "".join(
        f"<tr><th><code>{escape(name)}</code></th><td><code>{escape(format_value(value))}</code></td></tr>"
        for name, value in best.params.items()
    )
    values = zip(snapshot.objectives, best.values, strict=True)
    reached = ", ".join(f"{name} {_value_text(value)}" for name, value in values)
    rule = f" It is chosen by ship={snapshot.ship}." if snapshot.further else ""
    note = note_html(f"Trial {best.number} reached {reached}{at_epoch}.{rule}")
    return f'{note}<div class="scroll"><table class="params">{rows}</table></div>'


def front(snapshot: StudySnapshot) -> str:
    """Return the figure and the table of the Pareto front."""
    snapshot.require_complete()
    try:
        drawing = figures.front(snapshot).html()
    except NothingToShowError as reason:  # more objectives than Optuna can draw
        drawing = note_html(str(reason))
    head, *body = snapshot.front.rows(snapshot.objectives, rule=snapshot.ship)
    cells = ["".join(f"<td>{escape(text)}</td>" for text in row) for row in body]
    table = (
        f'<div class="scroll"><table class="trials"><thead><tr>{"".join(f"<th>{escape(text)}</th>" for text in head)}'
        f"</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in cells)}</tbody></table></div>"
    )
    return drawing + table


def trials(snapshot: StudySnapshot) -> str:
    ranked = sorted(snapshot.require_trials(), key=lambda trial: _rank(trial, snapshot.direction))
    header = ["trial", "state", *snapshot.objectives, *snapshot.param_names, "epochs", "time", "reason"]
    head = "".join(f"<th>{escape(text)}</th>" for text in header)
    body = "".join(_row(trial, snapshot, is_best=trial is snapshot.best) for trial in ranked)
    table = (
        f'<div class="scroll"><table class="trials"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )
    if len(ranked) > MAX_OPEN_ROWS:
        table = f"<details><summary>Show {len(ranked):,} trials</summary>{table}</details>"
    note = "Complete trials from the best to the worst, then the pruned, the infeasible and the failed ones."
    return note_html(note) + table


def _rank(trial: FrozenTrial, direction: StudyDirection) -> tuple[int, float, int]:
    sign = -1 if direction == StudyDirection.MAXIMIZE else 1
    value = sign * value_of(trial) if trial.state == TrialState.COMPLETE else 0.0
    return STATUSES.index(status_of(trial)), value, trial.number


def _row(trial: FrozenTrial, snapshot: StudySnapshot, *, is_best: bool) -> str:
    status = status_of(trial)
    texts = [
        *(_value_text(value) for value in values_of(trial, n=len(snapshot.objectives))),
        *(format_value(trial.params[name]) if name in trial.params else "" for name in snapshot.param_names),
        _epochs(trial),
        format_duration(trial.duration.total_seconds()) if trial.duration else "",
    ]
    cells = "".join(f"<td>{escape(text)}</td>" for text in texts)
    return (
        f'<tr class="{"best" if is_best else status}"><th>{trial.number}</th><td><i>{status}</i></td>{cells}'
        f'<td class="reason">{escape(reason_of(trial))}</td></tr>'
    )


def _value_text(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value.is_integer() and abs(value) >= 10 else format_value(value)


def _epochs(trial: FrozenTrial) -> str:
    n_epochs, max_epochs = epochs_of(trial)
    if n_epochs is None:
        return ""
    return f"{n_epochs}" if max_epochs is None else f"{n_epochs} of {max_epochs}"
