"""The tables of the report, as HTML: the best hyperparameters, other pruners, and all trials."""

from collections.abc import Sequence
from html import escape

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lightsweep.pruners.replay import Replay
from lightsweep.pruners.replays import replay_options
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


def pruners(snapshot: StudySnapshot) -> str:
    """Return what the pruners that the user can choose would have done on the recorded curves."""
    if not any(trial.intermediate_values for trial in snapshot.require_trials()):
        raise NothingToShowError("No trial reported values while it ran, so there is no curve to replay.")
    found = replay_options(snapshot.trials, direction=snapshot.direction, study_name=snapshot.study_name)
    if not found.by_option:
        raise NothingToShowError("No pruners were found: run the command in the folder that holds train.py and conf.")
    header = [
        "pruner",
        "trials pruned",
        f"{snapshot.step}s saved",
        "best trial",
        f"best {snapshot.monitor}",
        "not known",
    ]
    named = {"this search": found.recorded, **found.by_option}
    rows = [[name, *_pruner_cells(replay)] for name, replay in named.items()]
    n_trials = found.recorded.n_trials
    if n_trials == len(snapshot.trials):
        which = f"all {n_trials:,} trials"
    else:
        which = f"the first {n_trials:,} of {len(snapshot.trials):,} trials"
    note = (
        f"A replay of the curves of {which}, with the settings of the config group. A trial that was pruned has its"
        " curve only until then; for those not known the pruner would have let it go on, and nothing of them counts as"
        " saved. After other results the sampler would have drawn other trials."
    )
    left_out = "".join(note_html(f"Not replayed: {name} ({reason}).") for name, reason in found.left_out.items())
    return f"{note_html(note)}{_table(header, rows)}{left_out}"


def _pruner_cells(replay: Replay) -> list[str]:
    share = f" ({replay.epochs_saved / replay.epochs:.0%})" if replay.epochs else ""
    saved = f"{'at least ' if replay.n_unknown else ''}{replay.epochs_saved:,} of {replay.epochs:,}{share}"
    best = "none" if replay.best is None else f"{'lost' if replay.loses_best else 'kept'} ({replay.best.number})"
    left = "none" if replay.best_left is None else format_value(replay.best_left.value)
    return [f"{replay.n_pruned:,}", saved, best, left, f"{replay.n_unknown:,}" if replay.n_unknown else ""]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def front(snapshot: StudySnapshot) -> str:
    """Return the figure and the table of the Pareto front."""
    snapshot.require_complete()
    try:
        drawing = figures.front(snapshot).html()
    except NothingToShowError as reason:  # more objectives than Optuna can draw
        drawing = note_html(str(reason))
    header, *rows = snapshot.front.rows(snapshot.objectives, rule=snapshot.ship)
    return drawing + _table(header, rows)


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
