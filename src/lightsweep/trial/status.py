"""What a trial says of itself in the summary, the table and the report: its status, its reason, its epochs.

Another tool may have written the study, with user attributes of any type under the same names.
"""

from typing import Any

from optuna.trial import FrozenTrial, TrialState

FAIL_REASON = "fail_reason"
FAIL_KIND = "fail_kind"
ENQUEUED = "enqueued"  # where the point of the trial comes from, unless the sampler drew it
DEFAULTS = "defaults"  # one origin: the values of the config itself
FEASIBILITY = "feasibility"  # an Optuna constraint, which a value above 0 violates

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


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
