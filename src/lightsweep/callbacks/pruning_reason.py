"""Explains in one line why a trial was pruned."""

from typing import cast

import numpy as np
import optuna
from omegaconf import DictConfig
from optuna.pruners import MedianPruner, PatientPruner, PercentilePruner, ThresholdPruner, WilcoxonPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lightsweep.direction import Direction, is_better
from lightsweep.trial.pruner import build_pruner


def pruning_reason(trial: optuna.Trial, *, step: int, monitor: str, settings: DictConfig, unit: str = "epoch") -> str:
    """Return the value that was judged, the pruner, and what the value was compared with. `unit` says what a step is.

    `settings` is the config node of the study's pruner, empty if there is none: Optuna's pruners keep their settings in
    private attributes.
    """
    study = trial.study
    trials = study.get_trials(deepcopy=False)
    own = trials[trial.number]
    others = [t for t in trials if t.number != trial.number and step in t.intermediate_values]
    start = f"{monitor} {own.intermediate_values[step]:.4f} at {unit} {step}, {type(study.pruner).__name__}"
    pruner = study.pruner
    while isinstance(pruner, PatientPruner) and settings.get("wrapped_pruner"):
        settings = settings["wrapped_pruner"]
        pruner = build_pruner(settings)
    if isinstance(pruner, ThresholdPruner):
        return f"{start}: outside {_limit(settings, 'lower', -np.inf)} to {_limit(settings, 'upper', np.inf)}"
    if isinstance(pruner, WilcoxonPruner):
        return f"{start}: {_compared_with_best(own, study=study)}"
    percentile = 50.0 if isinstance(pruner, MedianPruner) else settings.get("percentile")
    if isinstance(pruner, PercentilePruner) and percentile is not None:
        compared = _compared_with_percentile(own, others, step=step, unit=unit, percentile=percentile, study=study)
        return f"{start}: {compared}"
    return f"{start}: {_compared_with_all(others, step=step, unit=unit, study=study)}"


def _compared_with_best(own: FrozenTrial, *, study: optuna.Study) -> str:
    best, direction = study.best_trial, cast(Direction, study.direction.name.lower())
    pairs = [(value, best.intermediate_values.get(step)) for step, value in own.intermediate_values.items()]
    n_worse = sum(other is not None and is_better(other, value, direction=direction) for value, other in pairs)
    return f"worse than the best trial, {best.number}, in {n_worse} of {len(pairs)} folds (Wilcoxon's signed-rank test)"


def _limit(settings: DictConfig, key: str, default: float) -> str:
    value = settings.get(key)
    return f"{default if value is None else value:g}"


def _compared_with_percentile(
    own: FrozenTrial, others: list[FrozenTrial], *, step: int, unit: str, percentile: float, study: optuna.Study
) -> str:
    # As the pruner does: the best value of this trial so far, and those of the completed trials at this epoch.
    so_far = [value for at, value in own.intermediate_values.items() if at <= step]
    completed = [t.intermediate_values[step] for t in others if t.state == TrialState.COMPLETE]
    if study.direction == StudyDirection.MAXIMIZE:
        best, threshold = max(so_far), np.percentile(completed, 100 - percentile)
    else:
        best, threshold = min(so_far), np.percentile(completed, percentile)
    return (
        f"best so far {best:.4f}, threshold {threshold:.4f}"
        f" (the best {percentile:g} % of {len(completed)} completed trials at that {unit})"
    )


def _compared_with_all(others: list[FrozenTrial], *, step: int, unit: str, study: optuna.Study) -> str:
    if not others:
        return f"no other trial reached this {unit}"
    values = [t.intermediate_values[step] for t in others]
    best = max(values) if study.direction == StudyDirection.MAXIMIZE else min(values)
    return f"{len(values)} other trials at that {unit}, median {np.median(values):.4f}, best {best:.4f}"
