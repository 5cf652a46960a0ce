"""What a job returned, turned into a value, a pruned trial or a failure."""

import math
from typing import Any

import optuna
import pytest

from lightsweep.failures import Kind
from lightsweep.outcome import Outcome
from lightsweep.sweeper.jobs import TrialFailed, value_of


def outcome(**changes: Any) -> Outcome:
    defaults = {"monitor": "val/acc", "value": 0.5, "best_epoch": 1, "n_epochs": 3, "max_epochs": 5}
    return Outcome(**{**defaults, **changes})


@pytest.mark.parametrize(("returned", "value"), [(0.25, 0.25), (1, 1.0), (True, 1.0), ("0.5", 0.5), (outcome(), 0.5)])
def test_a_number_or_an_outcome_is_a_value(returned: Any, value: float) -> None:
    assert value_of(returned, optuna.create_study().ask()) == value


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, "it returned None, which is not a number"),
        ("high", "it returned 'high', which is not a number"),
        ([0.1, 0.2], "which is not a number"),
        (math.nan, "it returned nan"),
        (math.inf, "it returned inf"),
        (-math.inf, "it returned -inf"),
        (outcome(value=None), "it returned None"),
        (outcome(failed="val/acc is nan at epoch 2"), "val/acc is nan at epoch 2"),
    ],
)
def test_anything_else_is_a_failure_with_its_reason(returned: Any, reason: str) -> None:
    with pytest.raises(TrialFailed, match=reason):
        value_of(returned, optuna.create_study().ask())


@pytest.mark.parametrize(
    ("returned", "kind"),
    [
        (None, Kind.ERROR),
        (math.nan, Kind.DIVERGED),
        (outcome(failed="val/acc is nan", kind="diverged"), Kind.DIVERGED),
        (outcome(failed="no space", kind="out of memory"), Kind.OUT_OF_MEMORY),
        (outcome(failed="it broke"), Kind.ERROR),
    ],
)
def test_a_failure_is_of_a_kind(returned: Any, kind: Kind) -> None:
    with pytest.raises(TrialFailed) as failed:
        value_of(returned, optuna.create_study().ask())
    assert failed.value.kind == kind


def test_a_pruned_outcome_is_a_pruned_trial_and_keeps_its_facts() -> None:
    study = optuna.create_study()
    trial = study.ask()
    with pytest.raises(optuna.TrialPruned, match="below the median"):
        value_of(outcome(pruned="below the median"), trial)
    assert study.trials[0].user_attrs == {
        "best_epoch": 1,
        "n_epochs": 3,
        "max_epochs": 5,
        "pruned_reason": "below the median",
    }
