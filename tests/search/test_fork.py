"""A new search that takes over the trials of an earlier one."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from lightsweep.config.fingerprint import Fingerprint
from lightsweep.errors import ConfigError
from lightsweep.search.fork import open_source, take_over
from lightsweep.search.request import parse_request
from lightsweep.search.space import SearchSpace
from lightsweep.search.study import record_fingerprint
from lightsweep.storage.storage import open_storage
from lightsweep.trial.status import status_of

STATUSES = {0.1: "complete", 0.2: "complete", 0.3: "complete", 0.4: "pruned", 0.5: "infeasible", 0.6: "failed"}
STATES = {"pruned": TrialState.PRUNED, "infeasible": TrialState.PRUNED, "failed": TrialState.FAIL}


def space_of(**sweeps: str) -> SearchSpace:
    return parse_request(sweeps, []).space


def fingerprint(space: SearchSpace, seed: str = "1") -> Fingerprint:
    return Fingerprint(strict={"seed": seed, **space.described()}, informational={})


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A search of x from 0 to 1 with six trials at 0.1 to 0.6; the value is x."""
    space = space_of(x="interval(0,1)")
    storage = open_storage(str(tmp_path / "study.journal"))
    study = optuna.create_study(study_name="mlp", storage=storage, direction="maximize")
    record_fingerprint(study, fingerprint(space), allow_changes=[])
    for x, fate in STATUSES.items():
        study.enqueue_trial({"x": x})
        trial = study.ask(space.distributions)
        trial.report(x / 2, 0)
        if fate == "infeasible":
            trial.set_constraint("feasibility", 1)
        study.tell(trial, x if fate == "complete" else None, state=STATES.get(fate))
    (tmp_path / "optimization_results.yaml").write_text("study_name: mlp\nstorage: /gone/study.journal\n")
    return tmp_path


def taken(earlier: Path, space: SearchSpace, *, seed: str = "1") -> tuple[list[optuna.trial.FrozenTrial], str]:
    study = optuna.create_study(direction="maximize")
    said = take_over(open_source(str(earlier), storage="unused"), study, space=space, now=fingerprint(space, seed=seed))
    return study.trials, said


@pytest.mark.parametrize(
    ("sweep", "xs"),
    [
        ("interval(0,1)", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("interval(0.15,5)", [0.2, 0.3, 0.4, 0.5]),
        ("choice(0.1,0.3,0.9)", [0.1, 0.3]),
        ("interval(2,3)", []),
    ],
)
def test_the_trials_that_lie_in_the_new_space_are_taken_over_as_they_are(
    sweep: str, xs: list[float], earlier: Path
) -> None:
    trials, said = taken(earlier, space_of(x=sweep))
    assert {t.params["x"]: status_of(t) for t in trials} == {x: STATUSES[x] for x in xs}
    assert all(t.value == t.params["x"] for t in trials if t.state == TrialState.COMPLETE)
    assert all(t.intermediate_values == {0: t.params["x"] / 2} for t in trials)
    assert all(t.user_attrs["forked_from"].startswith(str(earlier)) for t in trials)
    assert f"of 5 finished trials of {earlier} {len(xs)} were taken over; {5 - len(xs)} lie outside" in said


@pytest.mark.parametrize("other", [{"y": "interval(0,1)"}, {"x": "interval(0,1)", "y": "interval(0,1)"}])
def test_trials_of_other_parameters_are_left(other: dict[str, str], earlier: Path) -> None:
    assert taken(earlier, space_of(**other))[0] == []


def test_values_that_would_not_compare_are_left_and_the_best_points_are_tried_first(earlier: Path) -> None:
    trials, said = taken(earlier, space_of(x="interval(0.15,1)"), seed="2")
    assert [t.state for t in trials] == [TrialState.WAITING] * 2
    assert [t.system_attrs["fixed_params"] for t in trials] == [{"x": 0.3}, {"x": 0.2}]
    assert "no value is taken over, because seed changed" in said


class Killed(BaseException):
    pass


@pytest.mark.parametrize("seed", ["1", "2"])
@pytest.mark.parametrize("n_added", [0, 1, 2])
def test_a_fork_that_was_killed_is_the_same_when_it_is_started_again(
    n_added: int, seed: str, earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = space_of(x="interval(0,1)")
    source, now = open_source(str(earlier), storage="unused"), fingerprint(space, seed=seed)
    study = optuna.create_study(direction="maximize")
    add_trial = optuna.Study.add_trial

    def add_or_die(self: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if len(self.trials) == n_added:
            raise Killed
        add_trial(self, trial)

    monkeypatch.setattr(optuna.Study, "add_trial", add_or_die)
    with pytest.raises(Killed):
        take_over(source, study, space=space, now=now)
    monkeypatch.undo()
    assert len(study.trials) == n_added
    said = take_over(source, study, space=space, now=now)
    expected, expected_said = taken(earlier, space, seed=seed)
    assert said == expected_said
    for trial, other in zip(study.trials, expected, strict=True):
        assert (trial.params, trial.value, trial.state) == (other.params, other.value, other.state)
        assert (trial.system_attrs, trial.user_attrs) == (other.system_attrs, other.user_attrs)


def test_a_fork_that_has_trials_of_its_own_goes_on_and_another_search_is_refused(earlier: Path) -> None:
    space = space_of(x="interval(0,1)")
    source, now = open_source(str(earlier), storage="unused"), fingerprint(space)
    study = optuna.create_study(direction="maximize")
    take_over(source, study, space=space, now=now)
    study.tell(study.ask(space.distributions), 0.5)
    take_over(source, study, space=space, now=now)
    assert len(study.trials) == 6

    other = optuna.create_study(direction="maximize")
    other.tell(other.ask(space.distributions), 0.5)
    with pytest.raises(ConfigError, match=f"has trials already, and none from {earlier}. To go on with it leave fork"):
        take_over(source, other, space=space, now=now)
    assert len(other.trials) == 1


@pytest.mark.parametrize("content", [None, "[", "other: 1"])
def test_a_folder_without_a_search_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "optimization_results.yaml").write_text(content)
    with pytest.raises(ConfigError, match="not the folder of a search"):
        open_source(str(tmp_path), storage="unused")


@pytest.mark.parametrize(("name", "message"), [("gone", "not in its storage any more"), ("foreign", "not made by")])
def test_a_study_that_is_gone_or_foreign_is_refused(name: str, message: str, earlier: Path) -> None:
    optuna.create_study(study_name="foreign", storage=open_storage(str(earlier / "study.journal")))
    (earlier / "optimization_results.yaml").write_text(f"study_name: {name}\nstorage: x\n")
    with pytest.raises(ConfigError, match=message):
        open_source(str(earlier), storage="unused")
