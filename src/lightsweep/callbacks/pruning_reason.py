"""Says in one line what the pruner saw when it ended a trial."""

import numpy as np
import optuna
from optuna.pruners import BasePruner, PatientPruner, PercentilePruner, ThresholdPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


def pruning_reason(trial: optuna.Trial, *, epoch: int, monitor: str) -> str:
    """Name the value that was judged, the pruner, and what it was judged against, all read from the storage."""
    study = trial.study
    trials = study.get_trials(deepcopy=False)
    own = trials[trial.number]
    others = [t for t in trials if t.number != trial.number and epoch in t.intermediate_values]
    pruner = _deciding(study.pruner)
    text = f"{monitor} {own.intermediate_values[epoch]:.4f} at epoch {epoch}, {type(study.pruner).__name__}"
    if isinstance(pruner, ThresholdPruner):
        return f"{text}: outside {pruner._lower:g} to {pruner._upper:g}"
    if isinstance(pruner, PercentilePruner):
        return f"{text}: {_against_percentile(own, others, epoch=epoch, pruner=pruner, study=study)}"
    return f"{text}: {_against_all(others, epoch=epoch, study=study)}"


def _deciding(pruner: BasePruner) -> BasePruner:
    while isinstance(pruner, PatientPruner) and pruner._wrapped_pruner is not None:
        pruner = pruner._wrapped_pruner
    return pruner


def _against_percentile(
    own: FrozenTrial, others: list[FrozenTrial], *, epoch: int, pruner: PercentilePruner, study: optuna.Study
) -> str:
    # As the pruner itself does: this trial's best so far, against the completed trials at this epoch.
    so_far = [value for step, value in own.intermediate_values.items() if step <= epoch]
    completed = [t.intermediate_values[epoch] for t in others if t.state == TrialState.COMPLETE]
    if study.direction == StudyDirection.MAXIMIZE:
        best, threshold = max(so_far), np.percentile(completed, 100 - pruner._percentile)
    else:
        best, threshold = min(so_far), np.percentile(completed, pruner._percentile)
    return (
        f"best so far {best:.4f}, threshold {threshold:.4f}"
        f" (the best {pruner._percentile:g} % of {len(completed)} completed trials at that epoch)"
    )


def _against_all(others: list[FrozenTrial], *, epoch: int, study: optuna.Study) -> str:
    if not others:
        return "no other trial had come so far"
    values = [t.intermediate_values[epoch] for t in others]
    best = max(values) if study.direction == StudyDirection.MAXIMIZE else min(values)
    return f"{len(values)} other trials at that epoch, median {np.median(values):.4f}, best {best:.4f}"
