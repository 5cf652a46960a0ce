"""What the results file of a search knows beside the study: the confirmed winner and the test of the exported model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightsweep.report.results import read_record


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """The winner of the confirmation, and the mean of its runs with half the width of the 95 % interval."""

    number: int
    mean: float
    half_width: float


@dataclass(frozen=True, kw_only=True)
class RecordedResults:
    """The metrics on the test split are empty without an exported model; some of them have an interval."""

    confirmed: Confirmed | None = None
    test_metrics: Mapping[str, float] = field(default_factory=dict)
    test_intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path | None, *, study_name: str) -> "RecordedResults":
        """Read the file in the folder. What is missing, damaged, or of another study counts as not recorded."""
        record = {} if folder is None else read_record(folder)
        if record.get("study_name") != study_name:
            return cls()
        metrics, intervals = _mapping(record.get("shipped")), _mapping(record.get("shipped_intervals"))
        return cls(
            confirmed=_confirmed(_mapping(record.get("confirmed"))),
            test_metrics={name: float(value) for name, value in metrics.items() if _is_number(value)},
            test_intervals={name: (ends[0], ends[1]) for name, ends in intervals.items() if _is_interval(ends)},
        )


def _confirmed(record: Mapping[str, Any]) -> Confirmed | None:
    candidates = record.get("candidates")
    for candidate in map(_mapping, candidates if isinstance(candidates, list) else []):
        number, mean, half_width = (candidate.get(key) for key in ("trial", "mean", "half_width"))
        if isinstance(number, int) and number == record.get("winner") and _is_number(mean) and _is_number(half_width):
            return Confirmed(number=number, mean=float(mean or 0), half_width=float(half_width or 0))
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return {str(name): entry for name, entry in value.items()} if isinstance(value, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
