"""What became of a trial, in the words of the summary, the table and the report."""

from optuna.trial import FrozenTrial, TrialState

FAIL_REASON = "fail_reason"
FAIL_KIND = "fail_kind"
FEASIBILITY = "feasibility"  # Optuna's constraint by which samplers learn: above 0 is violated

STATUSES = ("complete", "pruned", "infeasible", "failed")


def status_of(trial: FrozenTrial) -> str:
    """One of `STATUSES`, or the name of the state of a trial that has not finished.

    Optuna's samplers ignore failed trials. One whose hyperparameters are to blame is therefore kept in the study as
    pruned with a violated constraint, from which they learn, and is called infeasible everywhere else.
    """
    if trial.state == TrialState.PRUNED and any(value > 0 for value in trial.constraints.values()):
        return "infeasible"
    return {TrialState.FAIL: "failed"}.get(trial.state, trial.state.name.lower())
