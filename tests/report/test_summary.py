"""The closing text of a search."""

import shlex
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightsweep.report.summary import model_command, why_nothing_completed
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


@pytest.mark.parametrize("name", ["plain", "it's", 'a "quoted" name', "$HOME", "with spaces"])
def test_the_command_that_loads_the_model_can_be_pasted(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "preprocessing.json").touch()
    [python, flag, code] = shlex.split(model_command(folder))
    assert (python, flag) == ("python", "-c")
    assert code == f"import lightsweep; print(lightsweep.load({str(folder)!r}).metrics)"
