"""Says in one line what the pruner saw when it ended a trial."""

import numpy as np
import optuna
from omegaconf import DictConfig
from optuna.pruners import MedianPruner, PatientPruner, PercentilePruner, ThresholdPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lightsweep.trial.pruner import build_pruner


def pruning_reason(trial: optuna.Trial, *, epoch: int, monitor: str, settings: DictConfig) -> str:
    """Name the value that was judged, the pruner, and what it was judged against, all read from the storage.

    `settings` is the config node that the study's pruner was built from, empty if there is none: Optuna's pruners
    don't tell their settings.
    """
    study = trial.study
    trials = study.get_trials(deepcopy=False)
    own = trials[trial.number]
    others = [t for t in trials if t.number != trial.number and epoch in t.intermediate_values]
    text = f"{monitor} {own.intermediate_values[epoch]:.4f} at epoch {epoch}, {type(study.pruner).__name__}"
    pruner = study.pruner
    while isinstance(pruner, PatientPruner) and settings.get("wrapped_pruner"):
        settings = settings["wrapped_pruner"]
        pruner = build_pruner(settings)
    if isinstance(pruner, ThresholdPruner):
        return f"{text}: outside {_limit(settings, 'lower', -np.inf)} to {_limit(settings, 'upper', np.inf)}"
    percentile = 50.0 if isinstance(pruner, MedianPruner) else settings.get("percentile")
    if isinstance(pruner, PercentilePruner) and percentile is not None:
        return f"{text}: {_against_percentile(own, others, epoch=epoch, percentile=percentile, study=study)}"
    return f"{text}: {_against_all(others, epoch=epoch, study=study)}"


def _limit(settings: DictConfig, key: str, default: float) -> str:
    value = settings.get(key)
    return f"{default if value is None else value:g}"


def _against_percentile(
    own: FrozenTrial, others: list[FrozenTrial], *, epoch: int, percentile: float, study: optuna.Study
) -> str:
    # As the pruner itself does: this trial's best so far, against the completed trials at this epoch.
    so_far = [value for step, value in own.intermediate_values.items() if step <= epoch]
    completed = [t.intermediate_values[epoch] for t in others if t.state == TrialState.COMPLETE]
    if study.direction == StudyDirection.MAXIMIZE:
        best, threshold = max(so_far), np.percentile(completed, 100 - percentile)
    else:
        best, threshold = min(so_far), np.percentile(completed, percentile)
    return (
        f"best so far {best:.4f}, threshold {threshold:.4f}"
        f" (the best {percentile:g} % of {len(completed)} completed trials at that epoch)"
    )


def _against_all(others: list[FrozenTrial], *, epoch: int, study: optuna.Study) -> str:
    if not others:
        return "no other trial had come so far"
    values = [t.intermediate_values[epoch] for t in others]
    best = max(values) if study.direction == StudyDirection.MAXIMIZE else min(values)
    return f"{len(values)} other trials at that epoch, median {np.median(values):.4f}, best {best:.4f}"
