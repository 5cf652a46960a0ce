"""What pruning saved, and what it may have cost."""

from lightsweep.report.page.content import ReportContent
from lightsweep.report.page.html import table
from lightsweep.report.plotly_figure import note_html
from lightsweep.trial.status import epochs_of, status_of


def section(content: ReportContent) -> str:
    content.snapshot.require_trials()
    if not content.statistics.counts["pruned"] and not content.statistics.audited:
        return note_html("No trial was pruned.")
    rows = [[label, text] for label, text in pruning_rows(content)]
    return table(rows, kind="params")


def pruning_rows(content: ReportContent) -> list[tuple[str, str]]:
    """Return a label and a value, both HTML, for each row of the table on pruning."""
    statistics = content.statistics
    n_pruned = statistics.counts["pruned"]
    rows = [("Pruned trials", f"{n_pruned:,} of {statistics.n_finished:,}")]
    if total := statistics.epochs_run + statistics.epochs_saved:
        share = 100 * statistics.epochs_saved / total
        rows.append(("Epochs saved", f"{statistics.epochs_saved:,} of {total:,} ({share:.0f} %)"))
    pruned = [trial for trial in content.snapshot.trials if status_of(trial) == "pruned"]
    if spent := sum(epochs_of(trial)[0] or 0 for trial in pruned):
        rows.append(("Epochs of the pruned trials", f"{spent:,}"))
    if statistics.audited:
        rows.append(("Audit", statistics.audit_in_words()))
    return rows
