"""What failed, and why."""

from collections import defaultdict
from html import escape

from optuna.trial import FrozenTrial

from lightsweep.report.page.content import ReportContent
from lightsweep.report.page.html import table
from lightsweep.report.plotly_figure import note_html
from lightsweep.trial.status import reason_of, status_of

MAX_REASONS = 20
MAX_LINKS = 8


def section(content: ReportContent) -> str:
    """Return a row per reason, the most frequent one first."""
    content.snapshot.require_trials()
    trials: dict[tuple[str, str], list[FrozenTrial]] = defaultdict(list)
    for trial in content.snapshot.trials:
        if (status := status_of(trial)) in ("failed", "infeasible"):
            trials[status, reason_of(trial)].append(trial)
    if not trials:
        return note_html("No trial failed.")
    ranked = sorted(trials.items(), key=lambda entry: -len(entry[1]))
    rows = [
        [status, f"{len(of_reason):,}", escape(reason) or "unknown", _links(content, of_reason)]
        for (status, reason), of_reason in ranked[:MAX_REASONS]
    ]
    note = (
        "An infeasible trial ran out of memory or diverged; the sampler learns from it, from a failed one it doesn't."
    )
    if len(ranked) > MAX_REASONS:
        note += f" The {MAX_REASONS} most frequent of {len(ranked):,} reasons."
    return note_html(note) + table(rows, head=["", "trials", "reason", "folders"], kind="values failures")


def _links(content: ReportContent, trials: list[FrozenTrial]) -> str:
    more = f" and {len(trials) - MAX_LINKS:,} more" if len(trials) > MAX_LINKS else ""
    return ", ".join(content.link(trial) for trial in trials[:MAX_LINKS]) + more
