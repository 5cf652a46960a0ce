"""The status of a trial in the summary, the table and the report."""

from optuna.trial import FrozenTrial, TrialState

FAIL_REASON = "fail_reason"
FAIL_KIND = "fail_kind"
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
