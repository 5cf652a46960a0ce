"""Which of several configurations is the best, given what each reached with the same seeds."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from optuna.study import StudyDirection

LEVEL = 0.95  # of the intervals


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A configuration and the value that it reached with each seed, in the order of the seeds.

    `number` is that of its trial in the search, `searched_value` what it reached there, None if it was pruned.
    `n_params` is the number of weights, None if unknown. `n_epochs` are the epochs to refit.
    """

    number: int
    is_defaults: bool
    searched_value: float | None
    values: tuple[float, ...]
    n_params: int | None
    n_epochs: int

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def half_width(self) -> float:
        return half_width(self.values)


@dataclass(frozen=True)
class Decision:
    """The candidate to ship, the one with the best mean, and those that can't be told from that one."""

    winner: Candidate
    best: Candidate
    tied: tuple[Candidate, ...]


def half_width(values: Sequence[float]) -> float:
    """Return half the width of Student's 95 % interval of the mean; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    from scipy.special import stdtrit  # takes a tenth of a second to import

    quantile = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2))
    return quantile * statistics.stdev(values) / sqrt(len(values))


def difference(a: Candidate, b: Candidate) -> tuple[float, float]:
    """Return the mean difference `a - b` and half the width of its interval."""
    differences = _differences(a, b)
    return statistics.fmean(differences), half_width(differences)


def _differences(a: Candidate, b: Candidate) -> list[float]:
    """Return those of the pairs with the same seed."""
    return [x - y for x, y in zip(a.values, b.values, strict=True)]


def decide(candidates: Sequence[Candidate], *, direction: StudyDirection) -> Decision:
    """Return the best mean, or the smallest model whose mean is within one standard error of it.

    That is the rule of Breiman et al. (Classification and Regression Trees, 1984), with the standard error of the
    paired differences. With few seeds the 95 % interval of almost any difference holds 0, so that alone is no reason to
    export a model that looks worse. Of equal means the first one is the best. If a size is unknown, the best mean wins.
    """
    sign = 1 if direction == StudyDirection.MAXIMIZE else -1
    best = max(candidates, key=lambda candidate: sign * candidate.mean)
    tied = tuple(candidate for candidate in candidates if candidate is not best and _may_be_equal(best, candidate))
    close = [best, *(candidate for candidate in tied if _is_within_standard_error(best, candidate))]
    if any(candidate.n_params is None for candidate in close):
        return Decision(best, best, tied)
    winner = min(close, key=lambda candidate: candidate.n_params or 0)
    return Decision(winner, best, tied)


def rows_of(decision: Decision, candidates: Sequence[Candidate]) -> list[tuple[str, str]]:
    """Return a row per candidate, best mean of the search first, and one that says who wins and why."""
    return [*map(_row, candidates), ("winner", why(decision))]


def _row(candidate: Candidate) -> tuple[str, str]:
    origin = (
        f"searched {candidate.searched_value:.4f}" if candidate.searched_value is not None else "pruned in the search"
    )
    of_defaults = ", the defaults" if candidate.is_defaults else ""
    return f"trial {candidate.number}", f"{candidate.mean:.4f} ± {candidate.half_width:.4f}  ({origin}{of_defaults})"


def why(decision: Decision) -> str:
    """Say who wins, and which candidates can't be told from the best mean."""
    winner, best = decision.winner, decision.best
    if not decision.tied:
        return f"trial {winner.number}: its mean is the best, by more than chance"
    tied = ", ".join(str(candidate.number) for candidate in decision.tied)
    if winner is best:
        return f"trial {winner.number}: its mean is the best; the difference from {tied} may be chance"
    mean, width = difference(best, winner)
    better = f"the mean of trial {best.number} is better by {abs(mean):.4f} ± {width:.4f}, less than one standard error"
    if f"{mean:.4f}".strip("-") == "0.0000":
        better = f"its mean is that of trial {best.number}"
    smaller = f"this is the smaller model ({winner.n_params:,} weights against {best.n_params:,})"
    return f"trial {winner.number}: {better}, and {smaller}"


def record_of(decision: Decision, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Return the entries of the results file."""
    runs = [
        {
            "trial": candidate.number,
            "is_defaults": candidate.is_defaults,
            "searched": candidate.searched_value,
            "mean": candidate.mean,
            "half_width": candidate.half_width,
            "values": list(candidate.values),
            "n_params": candidate.n_params,
        }
        for candidate in candidates
    ]
    return {"winner": decision.winner.number, "why": why(decision), "candidates": runs}


def _may_be_equal(best: Candidate, other: Candidate) -> bool:
    mean, width = difference(best, other)
    return abs(mean) <= width or width == 0  # differences that are all equal, by rounding, say nothing about chance


def _is_within_standard_error(best: Candidate, other: Candidate) -> bool:
    differences = _differences(best, other)
    return abs(statistics.fmean(differences)) <= statistics.stdev(differences) / sqrt(len(differences))
