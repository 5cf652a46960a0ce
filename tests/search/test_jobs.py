"""What a job returned, turned into a value, a pruned trial or a failure."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from hydra.core.utils import JobReturn, JobStatus
from optuna.trial import FrozenTrial

from lightsweep.failures import Kind
from lightsweep.search.jobs import TrialFailed, TrialJobs, value_of
from lightsweep.trial.identity import ProcessIdentity
from lightsweep.trial.outcome import Outcome


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


def test_a_trial_is_signed_before_its_parameters_are_drawn_which_may_take_long(tmp_path: Path) -> None:
    owners: list[Any] = []

    class SlowSampler(optuna.samplers.RandomSampler):
        def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Any) -> dict[str, Any]:
            owners.append(study.trials[trial.number].user_attrs.get("owner"))
            return {}

    job = JobReturn(status=JobStatus.COMPLETED, _return_value=0.5)
    launcher: Any = SimpleNamespace(launch=lambda *_, **__: [job])
    space: Any = SimpleNamespace(suggest=lambda trial: {"x": trial.suggest_float("x", 0, 1)}, to_overrides=list)
    study = optuna.create_study(sampler=SlowSampler())
    study.optimize(TrialJobs(launcher=launcher, space=space, fixed=[], sweep_dir=tmp_path), n_trials=1)
    assert owners == [ProcessIdentity.here().to_record()]
