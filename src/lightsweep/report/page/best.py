"""The best model of a search, and how sure its values are."""

from collections.abc import Iterator
from html import escape

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from lightsweep.report.formatting import format_objective, format_value
from lightsweep.report.page.content import ReportContent
from lightsweep.report.page.html import code, table, tiles
from lightsweep.report.page.recorded import Confirmed, RecordedResults
from lightsweep.report.plotly_figure import note_html
from lightsweep.report.snapshot import NothingToShowError
from lightsweep.trial.status import is_defaults

NOT_CONFIRMED = (
    "This value was chosen as the best of many on one validation split, so it is too good: expect less on new data."
)


def overview(content: ReportContent) -> str:
    """Return the figures that a reader looks for first, the most reliable ones at the top."""
    monitor = content.snapshot.monitor
    if not content.statistics.n_finished:
        return note_html("No trial has finished yet.")
    sure = {**_confirmed(content), **_tested(content)}
    counts = content.statistics.overview(monitor)
    counts.pop("Audit of pruning", None)  # it has its place in the section on pruning
    last = ("Finished trials", "Failures")
    finished = {name: counts.pop(name) for name in last if name in counts}
    note = note_html("Behind ± and in brackets: 95 % intervals.") if sure else ""
    return tiles({**sure, **counts, **finished}) + note


def _confirmed(content: ReportContent) -> dict[str, str]:
    """Return the mean of the winner, and beside it that of the defaults."""
    winner, monitor = content.recorded.confirmed, content.snapshot.monitor
    if winner is None:
        return {}
    texts = {f"Confirmed {monitor}, trial {winner.number}": _interval(winner)}
    for candidate in content.recorded.candidates:
        if candidate.is_defaults and candidate is not winner:
            texts[f"The defaults, trial {candidate.number}"] = _interval(candidate)
    return texts


def _interval(candidate: Confirmed) -> str:
    return f"{candidate.mean:.4f} ± {candidate.half_width:.4f}"


def _tested(content: ReportContent) -> dict[str, str]:
    """Return the metrics on the test split that have an interval, which are those in the unit of the target."""
    recorded = content.recorded
    return {
        f"{name}, exported model": _with_interval(recorded, name)
        for name in recorded.test_intervals
        if name in recorded.test_metrics
    }


def hyperparameters(content: ReportContent) -> str:
    """Return those of the best trial, beside the defaults if they were tried."""
    content.snapshot.require_complete()
    best = content.best
    if best is None:
        raise NothingToShowError("No complete trial is feasible.")
    epoch = best.user_attrs.get("best_epoch")
    values = zip(content.snapshot.objectives, best.values, strict=True)
    reached = ", ".join(f"{name} {format_objective(value)}" for name, value in values)
    note = f"Trial {best.number} reached {reached}{'' if epoch is None else f' at epoch {epoch}'}."
    if content.snapshot.further:
        note += f" It is chosen by ship={content.snapshot.ship}."
    if content.recorded.confirmed is None:
        note += f" {NOT_CONFIRMED}"
    defaults = next((t for t in content.snapshot.trials if is_defaults(t) and t is not best), None)
    head = ["", f"trial {best.number}", *([] if defaults is None else ["defaults"])]
    return note_html(note) + table(_params(content, best, defaults), head=head, kind="params")


def _params(content: ReportContent, best: FrozenTrial, defaults: FrozenTrial | None) -> Iterator[list[str]]:
    """Yield a row per hyperparameter, in the order of the trial."""
    beside = {} if defaults is None else content.params(defaults)
    for name, value in content.params(best).items():
        cells = [code(name), code(format_value(value))]
        yield cells if defaults is None else [*cells, code(format_value(beside[name])) if name in beside else ""]


def confirmation(content: ReportContent) -> str:
    """Return what the candidates reached when they were trained again. Raise `NothingToShowError` without them."""
    recorded, trials = content.recorded, {trial.number: trial for trial in content.snapshot.trials}
    if recorded.confirmed is None:
        raise NothingToShowError(
            "The best trials were not trained again with other seeds and validation splits (confirm=off, or the search"
            " has not come so far)."
        )
    rows = [
        [
            (content.link(trials[candidate.number]) if candidate.number in trials else str(candidate.number))
            + _role(candidate, winner=recorded.confirmed),
            "pruned" if candidate.searched is None else f"{candidate.searched:.4f}",
            _interval(candidate),
        ]
        for candidate in recorded.candidates
    ]
    n_seeds = recorded.confirmed.n_seeds
    of_seeds = f"the mean of {n_seeds} seeds" if n_seeds else "the mean over seeds"
    note = f"Trained again with other seeds and validation splits: {of_seeds} and its 95 % interval. Winner: "
    note += f"{recorded.why or f'trial {recorded.confirmed.number}'}."
    head = ["trial", "in the search", "confirmed"]
    return note_html(note) + table(rows, head=head, kind="values")


def _role(candidate: Confirmed, *, winner: Confirmed) -> str:
    roles = [" <b>winner</b>" if candidate is winner else "", " defaults" if candidate.is_defaults else ""]
    return ",".join(filter(None, roles))


def test_metrics(content: ReportContent) -> str:
    """Return the metrics of the exported model. Raise `NothingToShowError` without it."""
    recorded = content.recorded
    if not recorded.test_metrics:
        raise NothingToShowError("No model was exported and tested.")
    rows = [[code(name), _with_interval(recorded, name)] for name in sorted(recorded.test_metrics)]
    note = f"The exported model, trained on {recorded.trained_on or 'training and validation data'}, was tested once"
    note += "; in brackets the 95 % interval." if recorded.test_intervals else "."
    if recorded.refit_failed:
        note += f" The refit failed: {recorded.refit_failed}"
    return note_html(note) + table(rows, head=["metric", "test split"], kind="values")


def _with_interval(recorded: RecordedResults, name: str) -> str:
    value = f"{recorded.test_metrics[name]:.4f}"
    if name not in recorded.test_intervals:
        return value
    low, high = recorded.test_intervals[name]
    return f"{value} ({low:.4f} to {high:.4f})"


def lead(content: ReportContent) -> str:
    """Return the sentence below the title, as HTML."""
    snapshot = content.snapshot
    aims = ["highest" if direction == StudyDirection.MAXIMIZE else "lowest" for direction in snapshot.directions]
    objectives = zip(aims, snapshot.objectives, strict=True)
    searched = " and ".join(f"the {aim} <code>{escape(objective)}</code>" for aim, objective in objectives)
    n_finished, n_trials, running = content.statistics.n_finished, content.n_trials, content.running
    finished = f"{n_finished:,}{'' if n_trials is None else f' of {n_trials:,}'} trials finished"
    if running is not None:
        stage = f"; {running.stage}" if running.stage else ""
        finished = f'<strong class="running" role="status">Running, {finished}{escape(stage)}</strong>'
    return f"A search for {searched} · {finished}"
