"""A search as one HTML file: its figures, its trials, and nothing to load from elsewhere."""

import contextlib
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lightsweep.files import write_atomically
from lightsweep.report import figures
from lightsweep.report.plotly_json import note_html
from lightsweep.report.progress import duration, short
from lightsweep.report.trials import CannotDrawError, FinishedTrials, value_of
from lightsweep.trial.status import FAIL_KIND, FAIL_REASON, STATUSES, status_of

MAX_OPEN_ROWS = 60


def write_report(study: optuna.Study, path: Path, *, title: str, monitor: str, facts: Mapping[str, str]) -> None:
    """Write the finished trials of a study as a page that needs no network and reads well on a phone.

    `facts` are shown at the top, label and text. A figure that can't be drawn is replaced by one sentence that
    says why. Names, values and reasons of the study are not trusted: they never become markup or code.
    """
    search = FinishedTrials.of(study, monitor=monitor)
    with _quiet_optuna():
        sections = [_facts(facts), *(section.html(search) for section in SECTIONS)]
    write_atomically(path, _page(title=title, search=search, body="\n".join(sections)))


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
    """A heading and what is below it; `body` may raise `CannotDrawError`."""

    anchor: str
    heading: str
    body: Callable[[FinishedTrials], str]

    def html(self, search: FinishedTrials) -> str:
        try:
            body = self.body(search)
        except CannotDrawError as reason:
            body = note_html(str(reason))
        return f'<section id="{self.anchor}">\n<h2>{self.heading}</h2>\n{body}\n</section>'


def _facts(facts: Mapping[str, str]) -> str:
    cells = [
        f'<div class="{"wide" if len(text) > 36 else ""}"><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>'
        for label, text in facts.items()
    ]
    return f'<dl class="facts">{"".join(cells)}</dl>'


def _best_params(search: FinishedTrials) -> str:
    search.complete_or_say_why()
    best = search.best
    if best is None:
        raise CannotDrawError("No complete trial is feasible.")
    epoch = best.user_attrs.get("best_epoch")
    reached = "" if epoch is None else f" at epoch {epoch}"
    rows = "".join(
        f"<tr><th><code>{escape(name)}</code></th><td><code>{escape(short(value))}</code></td></tr>"
        for name, value in best.params.items()
    )
    note = note_html(f"Trial {best.number} reached {search.monitor} {short(best.value)}{reached}.")
    return f'{note}<div class="scroll"><table class="params">{rows}</table></div>'


def _table(search: FinishedTrials) -> str:
    if not search.trials:
        raise CannotDrawError("No trial has finished yet.")
    best = search.best
    head = ["trial", "state", search.monitor, *search.param_names, "epochs", "time", "reason"]
    rows = [_row(trial, search.param_names, is_best=trial is best) for trial in _ranked(search)]
    table = (
        f'<div class="scroll"><table class="trials"><thead><tr>{"".join(f"<th>{escape(h)}</th>" for h in head)}'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
    note = note_html("Complete trials from the best to the worst, then the pruned, the infeasible and the failed ones.")
    if len(rows) <= MAX_OPEN_ROWS:
        return note + table
    return f"{note}<details><summary>Show {len(rows):,} trials</summary>{table}</details>"


def _ranked(search: FinishedTrials) -> list[FrozenTrial]:
    sign = -1 if search.direction == StudyDirection.MAXIMIZE else 1

    def rank(trial: FrozenTrial) -> tuple[int, float, int]:
        value = sign * value_of(trial) if trial.state == TrialState.COMPLETE else 0.0
        return STATUSES.index(status_of(trial)), value, trial.number

    return sorted(search.trials, key=rank)


def _row(trial: FrozenTrial, param_names: Sequence[str], *, is_best: bool) -> str:
    state = status_of(trial)
    texts = [
        "" if trial.value is None else short(trial.value),
        *(short(trial.params[name]) if name in trial.params else "" for name in param_names),
        _epochs(trial),
        duration(trial.duration.total_seconds()) if trial.duration else "",
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


SECTIONS = [
    _Section(anchor="best", heading="Best hyperparameters", body=_best_params),
    _Section(anchor="history", heading="Optimization history", body=figures.history),
    _Section(anchor="curves", heading="Learning curves", body=figures.curves),
    _Section(anchor="importances", heading="Hyperparameter importances", body=figures.importances),
    _Section(anchor="parallel", heading="Parallel coordinates", body=figures.parallel),
    _Section(anchor="slices", heading="Slices", body=figures.slices),
    _Section(anchor="timeline", heading="Timeline", body=figures.timeline),
    _Section(anchor="trials", heading="Trials", body=_table),
]


def _page(*, title: str, search: FinishedTrials, body: str) -> str:
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
<style>{_file("page.css")}</style>
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
<script nonce="{nonce}">{_file("page.js")}</script>
</body>
</html>
"""


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
