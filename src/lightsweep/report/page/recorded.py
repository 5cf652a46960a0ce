"""What the results file of a search knows beside the study: the confirmation and the test of the exported model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightsweep.report.results import read_record


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A candidate of the confirmation: the mean of its `n_seeds` runs, half the width of the 95 % interval.

    `searched` is the value of its trial, None if that was pruned.
    """

    number: int
    mean: float
    half_width: float
    n_seeds: int | None = None
    searched: float | None = None
    is_defaults: bool = False


@dataclass(frozen=True, kw_only=True)
class RecordedResults:
    """The metrics on the test split are empty without an exported model; some of them have an interval.

    `confirmed` is the winner among the `candidates`, and `why` says why it is. `command` trains the best trial again.
    """

    confirmed: Confirmed | None = None
    candidates: tuple[Confirmed, ...] = ()
    why: str = ""
    test_metrics: Mapping[str, float] = field(default_factory=dict)
    test_intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    trained_on: str = ""
    refit_failed: str = ""
    command: str = ""

    @classmethod
    def read(cls, folder: Path | None, *, study_name: str) -> "RecordedResults":
        """Read the file in the folder. What is missing, damaged, or of another study counts as not recorded."""
        record = {} if folder is None else read_record(folder)
        if record.get("study_name") != study_name:
            return cls()
        metrics, intervals = _mapping(record.get("shipped")), _mapping(record.get("shipped_intervals"))
        confirmed = _mapping(record.get("confirmed"))
        candidates = _candidates(confirmed.get("candidates"))
        return cls(
            confirmed=next((each for each in candidates if each.number == confirmed.get("winner")), None),
            candidates=candidates,
            why=_text(confirmed.get("why")),
            test_metrics={name: float(value) for name, value in metrics.items() if _is_number(value)},
            test_intervals={name: (ends[0], ends[1]) for name, ends in intervals.items() if _is_interval(ends)},
            trained_on=_text(record.get("trained_on")),
            refit_failed=_text(record.get("refit_failed")),
            command=_text(record.get("command")),
        )


def _candidates(records: Any) -> tuple[Confirmed, ...]:
    """Return the candidates that are recorded in full."""
    candidates = map(_candidate, map(_mapping, records if isinstance(records, list) else []))
    return tuple(candidate for candidate in candidates if candidate is not None)


def _candidate(record: Mapping[str, Any]) -> Confirmed | None:
    number, mean, half_width = (record.get(key) for key in ("trial", "mean", "half_width"))
    if not (isinstance(number, int) and _is_number(mean) and _is_number(half_width)):
        return None
    values, searched = record.get("values"), record.get("searched")
    return Confirmed(
        number=number,
        mean=float(mean or 0),
        half_width=float(half_width or 0),
        n_seeds=len(values) if isinstance(values, list) else None,
        searched=float(searched or 0) if _is_number(searched) else None,
        is_defaults=record.get("is_defaults") is True,
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return {str(name): entry for name, entry in value.items()} if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
