"""The range of values that a figure shows, so that a few diverged trials don't flatten all others."""

import math
from collections.abc import Iterable
from statistics import median_low
from typing import Any, NamedTuple

from optuna.study import StudyDirection

REACH = 10  # so that the better half of the values fills at least a tenth of the axis


class ValueRange(NamedTuple):
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float], *, direction: StudyDirection) -> "ValueRange":
        """Return the range of the values whose distance from the best is at most `REACH` times the median distance."""
        finite = [value for value in values if math.isfinite(value)]
        if not finite:
            return cls(-math.inf, math.inf)
        best = max(finite) if direction == StudyDirection.MAXIMIZE else min(finite)
        distances = [abs(value - best) for value in finite if value != best]
        limit = REACH * median_low(distances) if distances else 0.0
        near = [value for value in finite if abs(value - best) <= limit]
        return cls(min(near), max(near))

    @property
    def needs_log(self) -> bool:
        return self.low > 0 and 100 * self.low < self.high < math.inf

    def holds(self, value: float) -> bool:
        return not math.isfinite(value) or self.low <= value <= self.high

    def clip(self, value: float) -> float:
        return value if self.holds(value) else min(max(value, self.low), self.high)

    def clip_trace(self, trace: dict[str, Any]) -> None:
        """Draw the points outside at the edge, as triangles. The hover text keeps their values."""
        values = list(trace["y"])
        if all(map(self.holds, values)):
            return
        symbol = trace.setdefault("marker", {}).get("symbol", "circle")
        outside = "triangle-up" if any(v > self.high for v in values) else "triangle-down"
        trace["marker"]["symbol"] = [symbol if self.holds(value) else outside for value in values]
        trace["y"] = [self.clip(value) for value in values]
        trace["customdata"] = values
        trace["hovertemplate"] = trace["hovertemplate"].replace("%{y:", "%{customdata:")
