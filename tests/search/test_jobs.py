"""What a job returned, turned into a value, a pruned trial or a failure."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from hydra.core.utils import JobReturn, JobStatus
from optuna.trial import FrozenTrial

from lightsweep.errors import ConfigError
from lightsweep.failures import Kind
from lightsweep.search.jobs import TrialJobs, outcome_of
from lightsweep.trial.identity import Owner, ProcessIdentity
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.params import val_seed_overrides


def outcome(**changes: Any) -> Outcome:
    defaults = {"monitor": "val/acc", "value": 0.5, "best_epoch": 1, "n_epochs": 3, "max_epochs": 5}
    return Outcome(**{**defaults, **changes})


@pytest.mark.parametrize(("returned", "value"), [(0.25, 0.25), (1, 1.0), (True, 1.0), ("0.5", 0.5), (outcome(), 0.5)])
def test_a_number_or_an_outcome_is_a_value(returned: Any, value: float) -> None:
    assert (outcome_of(returned).value, outcome_of(returned).failed) == (value, None)


@pytest.mark.parametrize(
    ("returned", "reason", "kind"),
    [
        (None, "it returned None, which is not a number", Kind.ERROR),
        ("high", "it returned 'high', which is not a number", Kind.ERROR),
        ([0.1, 0.2], "it returned [0.1, 0.2], which is not a number", Kind.ERROR),
        (math.nan, "it returned nan", Kind.DIVERGED),
        (-math.inf, "it returned -inf", Kind.DIVERGED),
        (outcome(value=None), "it returned None, which is not a number", Kind.ERROR),
        (outcome(failed="val/acc is nan", kind="diverged"), "val/acc is nan", Kind.DIVERGED),
        (outcome(failed="no space", kind="out of memory"), "no space", Kind.OUT_OF_MEMORY),
    ],
)
def test_anything_else_is_a_failure_of_a_kind_with_its_reason(returned: Any, reason: str, kind: Kind) -> None:
    assert (outcome_of(returned).failed, outcome_of(returned).kind) == (reason, kind)


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ((0.5, 3), [0.5, 3.0]),
        (outcome(value=0.5, further={"model/n_params": 3}), [0.5, 3.0]),
        (0.5, "the number of its values is 1, not 2: each objective needs one"),
        ([1, 2, 3], "the number of its values is 3, not 2: each objective needs one"),
        ([], "the number of its values is 1, not 2: each objective needs one"),
        (["low", 1], "it returned ['low', 1], which is not a number"),
        ((0.5, math.nan), "it returned 0.5, nan"),
    ],
)
def test_of_several_objectives_each_needs_a_finite_value(returned: Any, expected: list[float] | str) -> None:
    done = outcome_of(returned, n_objectives=2)
    assert (done.failed or done.values) == expected


@pytest.mark.parametrize("ended", [outcome(pruned="below the median"), Outcome(interrupted=True)])
def test_an_outcome_without_a_value_of_its_own_stays_as_it_is(ended: Outcome) -> None:
    assert outcome_of(ended) is ended


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
    outcome = TrialJobs(launcher=launcher, space=space, fixed=[], sweep_dir=tmp_path).run(study.ask())
    assert outcome.value == 0.5
    assert owners == [Owner(ProcessIdentity.here(), ProcessIdentity.here()).to_record()]


@pytest.mark.parametrize("reshuffle", [True, False])
def test_each_trial_gets_a_validation_split_of_its_own_and_remembers_it(reshuffle: bool, tmp_path: Path) -> None:
    launched: list[list[str]] = []

    def launch(overrides: list[list[str]], **_: Any) -> list[JobReturn]:
        launched.extend(overrides)
        return [JobReturn(status=JobStatus.COMPLETED, _return_value=0.5)]

    launcher: Any = SimpleNamespace(launch=launch)
    space: Any = SimpleNamespace(suggest=lambda trial: {}, to_overrides=list)
    study = optuna.create_study()
    jobs = TrialJobs(launcher=launcher, space=space, fixed=["a=1"], sweep_dir=tmp_path, reshuffle=reshuffle)
    for _ in range(2):
        jobs.run(study.ask())
    seeds = [["data.val_seed=1"], ["data.val_seed=2"]] if reshuffle else [[], []]
    assert launched == [["a=1", *seed] for seed in seeds]
    assert [val_seed_overrides(trial.user_attrs) for trial in study.trials] == seeds
    assert jobs.overrides({}) == ["a=1"]  # of a refit


def test_a_launcher_that_refuses_its_settings_is_no_lost_worker(tmp_path: Path) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConfigError("hydra.launcher.partition is nowhere")

    launcher: Any = SimpleNamespace(launch=refuse)
    space: Any = SimpleNamespace(to_overrides=list)
    with pytest.raises(ConfigError, match="nowhere"):
        TrialJobs(launcher=launcher, space=space, fixed=[], sweep_dir=tmp_path).launch([], number=0)
