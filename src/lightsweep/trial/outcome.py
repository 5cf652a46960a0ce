"""The result of a job, as plain data that any launcher can transfer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from lightsweep.direction import objective_text
from lightsweep.failures import Kind

ALL_ROWS = "training + validation data"
TOLERANCE = 0.05  # of the range of the values of a training


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one training.

    `value` is the best value of the monitored metric in a validation, and `best_epoch` the epoch that reached it,
    counted from 0 as in the logs; both are None for a refit. With several objectives that is the first one, and
    `further` has the values of the others at that epoch. `n_epochs` of `max_epochs` were trained, and the model has
    `n_params` weights.
    `pruned` and `failed` hold the reason if the fit ended in that way, and `kind` the kind of failure. `interrupted`
    means that the fit was stopped and can go on from its last checkpoint. Only a refit has `test_metrics`, which are
    empty if it could not be tested, the 95 % `test_intervals` of some of them, and `trained_on`, the rows in words.
    `refit_failed` is the reason why it failed, if its model is the best trial's checkpoint.

    With several folds `value` is the mean of `fold_values`, the epochs are those of all, `n_params` of one model, and
    `best_epoch` is unknown. `refit_epochs` are the epochs of a refit, see `n_epochs_to_refit`.
    """

    monitor: str = ""
    value: float | None = None
    best_epoch: int | None = None
    further: dict[str, float] = field(default_factory=dict)
    n_epochs: int | None = None
    max_epochs: int | None = None
    n_params: int | None = None
    pruned: str | None = None
    failed: str | None = None
    kind: str | None = None
    interrupted: bool = False
    test_metrics: dict[str, float] | None = None
    test_intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    trained_on: str = ""
    refit_failed: str | None = None
    refit_epochs: int | None = None
    fold_values: list[float] = field(default_factory=list)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the outcome of a `result.yaml`; keys of other versions are left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in known})

    @property
    def values(self) -> list[float]:
        """The value of each objective."""
        assert self.value is not None
        return [self.value, *self.further.values()]

    @property
    def status(self) -> str:
        """Return the status of the trial, as `status_of` does of a finished one, or "interrupted"."""
        if self.interrupted:
            return "interrupted"
        if self.failed:
            return "infeasible" if Kind(self.kind or Kind.ERROR).is_infeasible else "failed"
        return "pruned" if self.pruned else "complete"

    @property
    def reason(self) -> str:
        return self.failed or self.pruned or ""

    @classmethod
    def failure(cls, reason: str, kind: Kind = Kind.ERROR) -> "Outcome":
        """Return the outcome of a job that ended without one of its own."""
        return cls(failed=reason, kind=kind.value)

    def summary(self) -> str:
        """Return the closing line of a run, without its folder."""
        if self.test_metrics is not None:
            metrics = ", ".join(self._metric(name, value) for name, value in sorted(self.test_metrics.items()))
            return f"{metrics or 'not tested,'} after {self.n_epochs} epochs on {self.trained_on}"
        further = "".join(f", {name} {objective_text(value)}" for name, value in self.further.items())
        if self.fold_values:
            spread = f" ({min(self.fold_values):.4f} to {max(self.fold_values):.4f})"
            return f"{self.monitor} {self.value:.4f}{further}, the mean of {len(self.fold_values)} folds{spread}"
        return (
            f"{self.monitor} {self.value:.4f}{further} at epoch {self.best_epoch} of {self.n_epochs} (counted from 0)"
        )

    def _metric(self, name: str, value: float) -> str:
        if name not in self.test_intervals:
            return f"{name} {value:.4f}"
        low, high = self.test_intervals[name]
        return f"{name} {value:.4f} (95 % interval {low:.4f} to {high:.4f})"


def n_epochs_to_refit(values: Mapping[int, float], *, best_epoch: int) -> int:
    """Return the number of epochs up to the last one that was as good as the best, within `TOLERANCE`.

    Over a few hundred validation rows it is chance which of nearly equal epochs is the best, and after an early one the
    model would be left half trained. An epoch that is clearly worse, because the model overfits, is not reached.
    `values` are those of the validations by their epochs.
    """
    if best_epoch not in values:
        return best_epoch + 1
    best = values[best_epoch]
    tolerance = TOLERANCE * max(abs(value - best) for value in values.values())
    return 1 + max(epoch for epoch, value in values.items() if abs(value - best) <= tolerance)
