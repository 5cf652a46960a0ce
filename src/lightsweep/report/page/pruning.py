"""What pruning saved, and what it may have cost."""

from html import escape

from lightsweep.pruners.replay import Replay
from lightsweep.pruners.replays import replay_options
from lightsweep.report.formatting import format_duration, format_value
from lightsweep.report.page.content import ReportContent
from lightsweep.report.page.html import table
from lightsweep.report.plotly_figure import note_html
from lightsweep.report.snapshot import NothingToShowError
from lightsweep.trial.status import epochs_of, status_of


def section(content: ReportContent) -> str:
    content.snapshot.require_trials()
    if content.snapshot.further:
        return note_html("With several objectives nothing is pruned.")
    if not content.statistics.counts["pruned"] and not content.statistics.audited:
        return note_html("No trial was pruned.")
    rows = [[label, text] for label, text in pruning_rows(content)]
    return table(rows, kind="params")


def others(content: ReportContent) -> str:
    """Return what the pruners that the user can choose would have done on the recorded curves."""
    snapshot = content.snapshot
    if not any(trial.intermediate_values for trial in snapshot.require_trials()):
        raise NothingToShowError("No trial reported values while it ran, so there is no curve to replay.")
    if content.running is not None:
        raise NothingToShowError("The curves are replayed when the search has ended.")
    found = replay_options(snapshot.trials, direction=snapshot.direction, study_name=snapshot.study_name)
    if not found.by_option:
        raise NothingToShowError("No pruners were found: run the command in the folder that holds train.py and conf.")
    n_trials = found.recorded.n_trials
    which = f"all {n_trials:,}" if n_trials == len(snapshot.trials) else f"the first {n_trials:,}"
    note = (
        f"A replay of the curves of {which} trials, with the settings of the config group. A trial that was pruned has"
        " its curve only until then; for those not known the pruner would have let it go on, and nothing of them counts"
        " as saved. After other results the sampler would have drawn other trials."
    )
    head = ["pruner", "trials pruned", "epochs saved", "best trial", f"best {snapshot.monitor}", "not known"]
    named = {"this search": found.recorded, **found.by_option}
    rows = [[escape(name), *map(escape, _cells(replay))] for name, replay in named.items()]
    left_out = "".join(note_html(f"Not replayed: {name} ({reason}).") for name, reason in found.left_out.items())
    return note_html(note) + table(rows, head=head, kind="values") + left_out


def _cells(replay: Replay) -> list[str]:
    share = f" ({replay.epochs_saved / replay.epochs:.0%})" if replay.epochs else ""
    saved = f"{'at least ' if replay.n_unknown else ''}{replay.epochs_saved:,} of {replay.epochs:,}{share}"
    best = "none" if replay.best is None else f"{'lost' if replay.loses_best else 'kept'} ({replay.best.number})"
    left = "none" if replay.best_left is None else format_value(replay.best_left.value)
    return [f"{replay.n_pruned:,}", saved, best, left, f"{replay.n_unknown:,}" if replay.n_unknown else ""]


def pruning_rows(content: ReportContent) -> list[tuple[str, str]]:
    """Return a label and a value, both HTML, for each row of the table on pruning."""
    statistics = content.statistics
    n_pruned = statistics.counts["pruned"]
    rows = [("Pruned trials", f"{n_pruned:,} of {statistics.n_finished:,}")]
    if total := statistics.epochs_run + statistics.epochs_saved:
        share = 100 * statistics.epochs_saved / total
        rows.append(("Epochs saved", f"{statistics.epochs_saved:,} of {total:,} ({share:.0f} %)"))
    if statistics.seconds_saved:
        rows.append(("Seconds saved", f"about {format_duration(statistics.seconds_saved)} of training"))
    pruned = [trial for trial in content.snapshot.trials if status_of(trial) == "pruned"]
    if spent := sum(epochs_of(trial)[0] or 0 for trial in pruned):
        rows.append(("Epochs of the pruned trials", f"{spent:,}"))
    if statistics.audited:
        rows.append(("Audit", statistics.audit_in_words()))
    return rows
