"""What a trial says of itself in the summary, the table and the report: its status, its reason, its epochs.

Another tool may have written the study, with user attributes of any type under the same names.
"""

import math
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

FAIL_REASON = "fail_reason"
FAIL_KIND = "fail_kind"
ENQUEUED = "enqueued"  # where the point of the trial comes from, unless the sampler drew it
DEFAULTS = "defaults"  # one origin: the values of the config itself
SECONDS_PER_EPOCH = "seconds_per_epoch"  # of a pruned trial
FEASIBILITY = "feasibility"  # an Optuna constraint, which a value above 0 violates
REPORTED = "epoch "  # begins the user attribute that has the value of an epoch, in a study with several objectives

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


def value_of(trial: FrozenTrial) -> float:
    """Return the value of a trial that has one, of several objectives that of the first one."""
    return float(trial.values[0])


def values_of(trial: FrozenTrial, *, n: int) -> list[float | None]:
    """Return the values of the trial for `n` objectives, None for each if it has none."""
    return [*trial.values] if trial.values else [None] * n


def report(trial: optuna.Trial, value: float, *, epoch: int) -> None:
    """Record the value of an epoch. With several objectives Optuna's `report` raises, so it is a user attribute."""
    try:
        trial.report(value, step=epoch)
    except NotImplementedError:
        trial.set_user_attr(f"{REPORTED}{epoch}", value)


def reported_by(trial: FrozenTrial) -> dict[int, float]:
    """Return the values that the trial has reported, by epoch: those of the first objective."""
    if trial.intermediate_values:
        return trial.intermediate_values
    attrs = trial.user_attrs
    epochs = {name.removeprefix(REPORTED): value for name, value in attrs.items() if name.startswith(REPORTED)}
    return {
        int(epoch): value for epoch, value in epochs.items() if epoch.isdecimal() and isinstance(value, int | float)
    }


def is_defaults(trial: FrozenTrial) -> bool:
    return bool(trial.user_attrs.get(ENQUEUED) == DEFAULTS)


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
