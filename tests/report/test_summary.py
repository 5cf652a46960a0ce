"""The closing text of a search."""

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightsweep.report.summary import why_nothing_completed
from lightsweep.trial.status import FAIL_REASON, FEASIBILITY
from lightsweep.trial.stop import StopReason

PRUNED = create_trial(state=TrialState.PRUNED)
FAILED = create_trial(state=TrialState.FAIL, user_attrs={FAIL_REASON: "no memory"})
INFEASIBLE = create_trial(state=TrialState.PRUNED, constraints={FEASIBILITY: 1.0})


@pytest.mark.parametrize(
    ("trials", "reason"),
    [
        ([], "no trial was run: timeout."),
        ([PRUNED, PRUNED], "no trial completed: all 2 were pruned. Let the pruner start"),
        ([PRUNED, FAILED], "no trial completed: 1 failed, 1 were pruned. The last one: no memory."),
        ([INFEASIBLE], "no trial completed: 0 failed, 1 were infeasible, 0 were pruned."),
    ],
)
def test_a_search_without_a_best_trial_says_why(trials: list[FrozenTrial], reason: str) -> None:
    study = optuna.create_study()
    study.add_trials(trials)
    assert why_nothing_completed(study, stop_reason=StopReason("timeout", exit_code=0)).startswith(reason)
