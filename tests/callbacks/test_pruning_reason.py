"""The one-line explanation of why a trial was pruned."""

from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.pruners import BasePruner
from optuna.trial import TrialState

from lightsweep.callbacks.pruning_reason import pruning_reason
from lightsweep.direction import Direction
from lightsweep.trial.pruner import build_pruner

OTHERS = ((0.5, 0.6), (0.6, 0.7), (0.7, 0.9), (0.8, 0.8))


def is_pruned(trial: optuna.Trial, *values: float) -> bool:
    """Report the values as the callback does, and return the pruner's last decision."""
    for step, value in enumerate(values):
        trial.report(value, step)
        decision = trial.should_prune()
    return decision


def study_with_others(pruner: BasePruner, *, direction: Direction) -> optuna.Study:
    """Create a study with four trials that completed after two epochs, and one that was pruned."""
    study = optuna.create_study(direction=direction, pruner=pruner)
    for values in OTHERS:
        trial = study.ask()
        is_pruned(trial, *values)
        study.tell(trial, values[-1])
    trial = study.ask()
    is_pruned(trial, 0.1, 0.2)
    study.tell(trial, state=TrialState.PRUNED)
    return study


MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 4}
QUARTER = {"_target_": "optuna.pruners.PercentilePruner", "percentile": 25.0, "n_startup_trials": 4}
HALVING = {"_target_": "optuna.pruners.SuccessiveHalvingPruner", "min_resource": 1, "reduction_factor": 2}
PATIENT = {"_target_": "optuna.pruners.PatientPruner", "patience": 0}
THRESHOLD = {"_target_": "optuna.pruners.ThresholdPruner"}
HALF = "(the best 50 % of 4 completed trials at that epoch)"
A_QUARTER = "(the best 25 % of 4 completed trials at that epoch)"
OF_FIVE = "5 other trials at that epoch, median 0.7000"


@pytest.mark.parametrize(
    ("pruner", "direction", "values", "reason"),
    [
        (MEDIAN, "maximize", (0.3, 0.2), f"MedianPruner: best so far 0.3000, threshold 0.7500 {HALF}"),
        (MEDIAN, "minimize", (0.85, 0.95), f"MedianPruner: best so far 0.8500, threshold 0.7500 {HALF}"),
        (QUARTER, "maximize", (0.3, 0.8), f"PercentilePruner: best so far 0.8000, threshold 0.8250 {A_QUARTER}"),
        (QUARTER, "minimize", (0.9, 0.7), f"PercentilePruner: best so far 0.7000, threshold 0.6750 {A_QUARTER}"),
        (
            {**PATIENT, "wrapped_pruner": MEDIAN},
            "maximize",
            (0.3, 0.2),
            f"PatientPruner: best so far 0.3000, threshold 0.7500 {HALF}",
        ),
        ({**PATIENT, "wrapped_pruner": None}, "maximize", (0.3, 0.2), f"PatientPruner: {OF_FIVE}, best 0.9000"),
        ({**THRESHOLD, "lower": 0.25}, "maximize", (0.3, 0.2), "ThresholdPruner: outside 0.25 to inf"),
        ({**THRESHOLD, "lower": 0.01, "upper": 0.15}, "minimize", (0.1, 0.2), "ThresholdPruner: outside 0.01 to 0.15"),
        (HALVING, "maximize", (0.3, 0.3), f"SuccessiveHalvingPruner: {OF_FIVE}, best 0.9000"),
        (HALVING, "minimize", (0.9, 0.95), f"SuccessiveHalvingPruner: {OF_FIVE}, best 0.2000"),
    ],
)
def test_the_reason_names_the_value_the_pruner_and_what_the_value_was_compared_with(
    pruner: dict[str, Any], direction: Direction, values: tuple[float, float], reason: str
) -> None:
    node = OmegaConf.create(pruner)
    study = study_with_others(build_pruner(node), direction=direction)
    trial = study.ask()
    assert is_pruned(trial, *values)
    text = pruning_reason(trial, step=1, monitor="val/acc", settings=node)
    assert text == f"val/acc {values[1]:.4f} at epoch 1, {reason}"


def test_a_trial_may_be_the_first_to_reach_an_epoch() -> None:
    trial = optuna.create_study(pruner=optuna.pruners.HyperbandPruner()).ask()
    trial.report(0.5, 0)
    text = pruning_reason(trial, step=0, monitor="val/acc", settings=OmegaConf.create())
    assert text == "val/acc 0.5000 at epoch 0, HyperbandPruner: no other trial reached this epoch"


@pytest.mark.filterwarnings("ignore:WilcoxonPruner is experimental")
def test_wilcoxons_pruner_names_the_best_trial_and_the_folds_in_which_it_was_better() -> None:
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.WilcoxonPruner(p_threshold=0.15))
    best = study.ask()
    is_pruned(best, 0.9, 0.8, 0.7, 0.9)
    study.tell(best, 0.825)
    trial = study.ask()
    assert is_pruned(trial, 0.8, 0.7, 0.6)
    text = pruning_reason(trial, step=2, monitor="val/acc", settings=OmegaConf.create(), unit="fold")
    assert text == (
        "val/acc 0.6000 at fold 2, WilcoxonPruner: worse than the best trial, 0, in 3 of 3 folds (Wilcoxon's"
        " signed-rank test)"
    )
