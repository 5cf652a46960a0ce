"""The table of all trials. Buttons in its header sort it, and page.js filters it."""

from collections import Counter
from html import escape

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lightsweep.report.formatting import format_duration, format_objective, format_value
from lightsweep.report.page.content import ReportContent
from lightsweep.report.plotly_figure import note_html
from lightsweep.trial.status import STATUSES, epochs_of, reason_of, status_of, value_of, values_of


def section(content: ReportContent) -> str:
    """Return the filters and the table, the best trial first."""
    snapshot = content.snapshot
    ranked = sorted(snapshot.require_trials(), key=lambda trial: _rank(trial, snapshot.direction))
    names = snapshot.param_names
    head = "".join(
        [
            *map(_heading, ["trial", "state", *snapshot.objectives]),
            *(_heading(snapshot.short_name(name), full=name) for name in names),
            *map(_heading, ["epochs", "time", "reason"]),
        ]
    )
    body = "".join(_row(content, trial) for trial in ranked)
    note = "Complete trials from the best to the worst, then the pruned, the infeasible and the failed ones."
    note += " A heading sorts, a number opens the folder of its trial."
    return (
        f'{note_html(note)}{_filters(ranked)}<div class="scroll tall" tabindex="0" role="region"'
        f' aria-label="Table of trials"><table class="trials"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _heading(text: str, *, full: str = "") -> str:
    title = f' title="{escape(full)}"' if full else ""
    return f'<th scope="col"><button type="button"{title}>{escape(text)}</button></th>'


def _filters(trials: list[FrozenTrial]) -> str:
    """Return the inputs, which page.js shows: without it they would do nothing."""
    counts = Counter(map(status_of, trials))
    options = "".join(
        f'<option value="{status}">{status} ({counts[status]:,})</option>' for status in STATUSES if counts[status]
    )
    return (
        '<div class="filters" hidden><label>Text <input type="search" autocomplete="off"></label>'
        f'<label>State <select><option value="">all ({len(trials):,})</option>{options}</select></label>'
        '<output aria-live="polite"></output></div>'
    )


def _rank(trial: FrozenTrial, direction: StudyDirection) -> tuple[int, float, int]:
    sign = -1 if direction == StudyDirection.MAXIMIZE else 1
    value = sign * value_of(trial) if trial.state == TrialState.COMPLETE else 0.0
    return STATUSES.index(status_of(trial)), value, trial.number


def _row(content: ReportContent, trial: FrozenTrial) -> str:
    status, params = status_of(trial), content.params(trial)
    seconds = trial.duration.total_seconds() if trial.duration else None
    cells = [
        *(
            _cell("" if value is None else format_objective(value), value)
            for value in values_of(trial, n=len(content.snapshot.objectives))
        ),
        *(
            _cell(format_value(params[name]), params[name]) if name in params else "<td></td>"
            for name in content.snapshot.param_names
        ),
        _cell(_epochs(trial), epochs_of(trial)[0]),
        _cell("" if seconds is None else format_duration(seconds), seconds),
    ]
    return (
        f'<tr class="{"best" if trial is content.best else status}"><th scope="row">{content.link(trial)}</th>'
        f'<td><i>{status}</i></td>{"".join(cells)}<td class="reason">{escape(reason_of(trial))}</td></tr>'
    )


def _cell(text: str, value: object) -> str:
    """Return a cell with the number by which it is sorted, unless the text is that number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    sorted_by = f' data-value="{value!r}"' if is_number and text != repr(value) else ""
    return f"<td{sorted_by}>{escape(text)}</td>"


def _epochs(trial: FrozenTrial) -> str:
    n_epochs, max_epochs = epochs_of(trial)
    if n_epochs is None:
        return ""
    return f"{n_epochs}" if max_epochs is None else f"{n_epochs} of {max_epochs}"
