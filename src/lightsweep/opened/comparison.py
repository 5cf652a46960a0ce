"""Several searches side by side: tables with a column each, for the screen and for a page."""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest

from optuna.study import StudyDirection

from lightsweep.config.fingerprint import differing
from lightsweep.errors import aligned
from lightsweep.opened.compared import ComparedSearch
from lightsweep.opened.study_status import UNFINISHED
from lightsweep.report.formatting import format_duration, format_value, printable
from lightsweep.storage.password import masked_urls
from lightsweep.trial.status import STATUSES, value_of

NOTHING = "-"
NOT_RECORDED = "not recorded"
WIDTH = 40  # of a cell on the screen


@dataclass(frozen=True, kw_only=True)
class ComparisonTable:
    """Rows by their label, each with a cell per search; `note` is what to say if there are none."""

    heading: str
    rows: Mapping[str, Sequence[str]]
    note: str = ""

    def text(self, labels: Sequence[str]) -> str:
        if not self.rows:
            return f"{self.heading}: {self.note}"
        header, rows = ("", *labels), [(name, *cells) for name, cells in self.rows.items()]
        lines = [line for row in [header, *rows] for line in _wrapped(row)]
        return "\n".join([self.heading, *aligned(lines)])


def _wrapped(row: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the row as one or several lines, none of whose cells is wider than `WIDTH`."""
    cells = [textwrap.wrap(printable(cell), WIDTH, break_on_hyphens=False) for cell in row]
    yield from zip_longest(*cells, fillvalue="")


def tables_of(searches: Sequence[ComparedSearch]) -> list[ComparisonTable]:
    """Return the results, and what differs in the search spaces, the settings, the options and the environments."""
    fixed = [search.settings for search in searches]
    searched = {key for search in searches for key in search.space}
    spaces = [{key: search.searched_or_fixed(key) for key in searched} for search in searches]
    settings = [None if each is None else {k: v for k, v in each.items() if k not in searched} for each in fixed]
    noted = [None if search.fingerprint is None else search.fingerprint.informational for search in searches]
    return [
        ComparisonTable(heading="Results", rows=_results(searches)),
        _differences("Search space", spaces),
        _differences("Settings", settings),
        _differences("Options of the command line", [search.options for search in searches]),
        _differences("Environment", noted),
    ]


def problem_of(searches: Sequence[ComparedSearch]) -> str | None:
    """Return why the values of the searches can't be compared, None if they have the same metric and direction."""
    if len({(search.monitor, search.direction) for search in searches}) == 1:
        return None
    return "The searches have different metrics or directions, so their values can't be compared."


def _differences(heading: str, settings: Sequence[Mapping[str, str] | None]) -> ComparisonTable:
    """Return the table of what differs. A search that has recorded nothing does not make a difference."""
    recorded = [each for each in settings if each is not None]
    rows = {}
    for key, values in differing(recorded).items():
        left = iter(values)
        cells = [NOT_RECORDED if each is None else next(left) for each in settings]
        rows[masked_urls(key)] = [masked_urls(cell) for cell in cells]
    note = "the same." if len(recorded) == len(settings) else "the same, as far as they were recorded."
    return ComparisonTable(heading=heading, rows=rows, note=note)


def _results(searches: Sequence[ComparedSearch]) -> dict[str, list[str]]:
    """Return the rows of the results without those that no search has."""
    metrics = sorted({name for search in searches for name in search.results.test_metrics})
    same = problem_of(searches) is None
    aim = "highest" if searches[0].direction == StudyDirection.MAXIMIZE else "lowest"
    cells: dict[str, Callable[[ComparedSearch], str]] = {
        "finished trials": _finished,
        **{status: partial(_count, status=status) for status in (*STATUSES, *UNFINISHED)},
        f"best {searches[0].monitor} ({aim})" if same else "best": partial(_best, with_metric=not same),
        "trials on the Pareto front": _front,
        "confirmed, mean of seeds": _confirmed,
        **{name: partial(_test_metric, name=name) for name in metrics},
        "epochs": lambda search: str(search.statistics.epochs_run or NOTHING),
        "time of all trials": lambda search: format_duration(search.seconds) if search.seconds else NOTHING,
    }
    rows = {label: [cell(search) for search in searches] for label, cell in cells.items()}
    return {label: row for label, row in rows.items() if set(row) != {NOTHING}}


def _finished(search: ComparedSearch) -> str:
    return f"{search.statistics.n_finished}{'' if search.n_trials is None else f' of {search.n_trials}'}"


def _count(search: ComparedSearch, *, status: str) -> str:
    return str(search.counts[status] or NOTHING)


def _best(search: ComparedSearch, *, with_metric: bool) -> str:
    best = search.statistics.best
    if best is None:
        return NOTHING
    return f"{f'{search.monitor} ' if with_metric else ''}{format_value(value_of(best))} (trial {best.number})"


def _front(search: ComparedSearch) -> str:
    """Return the size of the front and the objectives after the first, of a search with several."""
    if not search.further:
        return NOTHING
    return f"{len(search.statistics.front.trials)} (also {', '.join(search.further)})"


def _confirmed(search: ComparedSearch) -> str:
    confirmed = search.results.confirmed
    if confirmed is None:
        return NOTHING
    return f"{format_value(confirmed.mean)} ± {confirmed.half_width:.2g} (trial {confirmed.number})"


def _test_metric(search: ComparedSearch, *, name: str) -> str:
    metrics, intervals = search.results.test_metrics, search.results.test_intervals
    if name not in metrics:
        return NOTHING
    interval = "".join(f" ({low:.4g} to {high:.4g})" for low, high in [intervals[name]]) if name in intervals else ""
    return f"{format_value(metrics[name])}{interval}"
