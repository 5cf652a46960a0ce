"""What a trial says of itself in the summary, the table and the report: its status, its reason, its epochs.

Another tool may have written the study, with user attributes of any type under the same names.
"""

import math
from typing import Any

from optuna.trial import FrozenTrial, TrialState

FAIL_REASON = "fail_reason"
FAIL_KIND = "fail_kind"
SECONDS_PER_EPOCH = "seconds_per_epoch"  # of a pruned trial
FEASIBILITY = "feasibility"  # an Optuna constraint, which a value above 0 violates

N_FOLDS = "n_folds"  # of a trial that trains a model on each of several folds

STATUSES = ("complete", "pruned", "infeasible", "failed")


def status_of(trial: FrozenTrial) -> str:
    """Return one of `STATUSES`, or the name of the state of an unfinished trial.

    Optuna's samplers ignore failed trials. A trial whose hyperparameters caused the failure is therefore stored as
    pruned with a violated constraint, from which samplers learn, and is called infeasible everywhere else.
    """
    if trial.state == TrialState.PRUNED and any(value > 0 for value in trial.constraints.values()):
        return "infeasible"
    return {TrialState.FAIL: "failed"}.get(trial.state, trial.state.name.lower())


def is_feasible(trial: FrozenTrial) -> bool:
    return all(value <= 0 for value in trial.constraints.values())


def reason_of(trial: FrozenTrial) -> str:
    """Return why a trial failed or was pruned, as far as it is known."""
    attrs = trial.user_attrs
    if FAIL_REASON in attrs:
        return f"{attrs[FAIL_KIND]}: {attrs[FAIL_REASON]}" if FAIL_KIND in attrs else str(attrs[FAIL_REASON])
    return str(attrs.get("pruned_reason", ""))


def epochs_of(trial: FrozenTrial) -> tuple[int | None, int | None]:
    """Return how many epochs were trained, of how many; None if it is not known."""
    return _count(trial.user_attrs.get("n_epochs")), _count(trial.user_attrs.get("max_epochs"))


def step_of(trial: FrozenTrial) -> str:
    """Return what the steps of the reported values are: epochs, or folds."""
    return "epoch" if n_folds_of(trial) is None else "fold"


def n_folds_of(trial: FrozenTrial) -> int | None:
    return _count(trial.user_attrs.get(N_FOLDS))


def seconds_per_epoch_of(trial: FrozenTrial) -> float:
    """Return how long the epochs of a pruned trial took on average, 0 if it was not measured."""
    seconds = trial.user_attrs.get(SECONDS_PER_EPOCH)
    return float(seconds) if isinstance(seconds, int | float) and 0 < seconds < math.inf else 0.0


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
