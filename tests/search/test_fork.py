"""`fork`: a new search takes over the trials of an earlier one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from lightsweep.config.fingerprint import Fingerprint
from lightsweep.errors import ConfigError
from lightsweep.search.fork import _copy_of, best_of, open_source, take_over
from lightsweep.search.space import SearchSpace
from lightsweep.search.study import record_fingerprint
from lightsweep.storage.storage import open_storage
from lightsweep.trial.status import status_of
from tests.search.spaces import space_of

STATUSES = {0.1: "complete", 0.2: "complete", 0.3: "complete", 0.4: "pruned", 0.5: "infeasible", 0.6: "failed"}
STATES = {"pruned": TrialState.PRUNED, "infeasible": TrialState.PRUNED, "failed": TrialState.FAIL}


def fingerprint(space: SearchSpace, seed: str = "1") -> Fingerprint:
    return Fingerprint(strict={"seed": seed, **space.described()}, informational={})


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A search of x from 0 to 1 with six trials, x=0.1 to x=0.6. The value of a trial is x."""
    space = space_of(x="interval(0,1)")
    storage = open_storage(str(tmp_path / "study.journal"))
    study = optuna.create_study(study_name="mlp", storage=storage, direction="maximize")
    record_fingerprint(study, fingerprint(space), allow_changes=[])
    for x, status in STATUSES.items():
        study.enqueue_trial({"x": x})
        trial = study.ask(space.distributions)
        trial.report(x / 2, 0)
        if status == "infeasible":
            trial.set_constraint("feasibility", 1)
        study.tell(trial, x if status == "complete" else None, state=STATES.get(status))
    (tmp_path / "optimization_results.yaml").write_text("study_name: mlp\nstorage: /gone/study.journal\n")
    return tmp_path


def taken(earlier: Path, space: SearchSpace, *, seed: str = "1") -> tuple[list[optuna.trial.FrozenTrial], str]:
    study = optuna.create_study(direction="maximize")
    message = take_over(
        open_source(str(earlier), storage="unused"), study, space=space, now=fingerprint(space, seed=seed)
    )
    return study.trials, message


@pytest.mark.parametrize(
    ("sweep", "xs"),
    [
        ("interval(0,1)", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("interval(0.15,5)", [0.2, 0.3, 0.4, 0.5]),
        ("choice(0.1,0.3,0.9)", [0.1, 0.3]),
        ("interval(2,3)", []),
    ],
)
def test_trials_in_the_new_space_are_copied(sweep: str, xs: list[float], earlier: Path) -> None:
    trials, message = taken(earlier, space_of(x=sweep))
    assert {t.params["x"]: status_of(t) for t in trials} == {x: STATUSES[x] for x in xs}
    assert all(t.value == t.params["x"] for t in trials if t.state == TrialState.COMPLETE)
    assert all(t.intermediate_values == {0: t.params["x"] / 2} for t in trials)
    assert all(t.user_attrs["forked_from"].startswith(str(earlier)) for t in trials)
    assert f"of 5 finished trials of {earlier}, {len(xs)} were taken over; {5 - len(xs)} lie outside" in message


@pytest.mark.parametrize("other", [{"y": "interval(0,1)"}, {"x": "interval(0,1)", "y": "interval(0,1)"}])
def test_trials_of_other_parameters_are_not_copied(other: dict[str, str], earlier: Path) -> None:
    assert taken(earlier, space_of(**other))[0] == []


def test_after_a_change_of_settings_only_the_parameters_of_the_best_trials_are_enqueued(earlier: Path) -> None:
    trials, message = taken(earlier, space_of(x="interval(0.15,1)"), seed="2")
    assert [t.state for t in trials] == [TrialState.WAITING] * 2
    assert [t.system_attrs["fixed_params"] for t in trials] == [{"x": 0.3}, {"x": 0.2}]
    assert "no values are taken over, because seed changed" in message


def test_trials_of_several_objectives_keep_their_values_and_the_front_is_the_best() -> None:
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    trials = [create_trial(values=values) for values in ([0.5, 10.0], [0.6, 20.0], [0.5, 20.0])]
    assert best_of(trials, directions=directions) == [trials[1], trials[0]]
    source: Any = SimpleNamespace(name_of=lambda trial: "there")
    assert _copy_of(trials[0], {}, source=source).values == [0.5, 10.0]


@pytest.mark.parametrize("seed", ["1", "2"])
@pytest.mark.parametrize("n_added", [0, 1, 2])
def test_an_interrupted_fork_has_the_same_result_after_a_restart(
    n_added: int, seed: str, earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = space_of(x="interval(0,1)")
    source, now = open_source(str(earlier), storage="unused"), fingerprint(space, seed=seed)
    study = optuna.create_study(direction="maximize")
    add_trial = optuna.Study.add_trial

    def add_or_raise(self: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if len(self.trials) == n_added:
            raise KeyboardInterrupt
        add_trial(self, trial)

    monkeypatch.setattr(optuna.Study, "add_trial", add_or_raise)
    with pytest.raises(KeyboardInterrupt):
        take_over(source, study, space=space, now=now)
    monkeypatch.undo()
    assert len(study.trials) == n_added
    message = take_over(source, study, space=space, now=now)
    expected, expected_message = taken(earlier, space, seed=seed)
    assert message == expected_message
    for trial, other in zip(study.trials, expected, strict=True):
        assert (trial.params, trial.value, trial.state) == (other.params, other.value, other.state)
        assert (trial.system_attrs, trial.user_attrs) == (other.system_attrs, other.user_attrs)


def test_a_fork_with_new_trials_is_resumed(earlier: Path) -> None:
    space = space_of(x="interval(0,1)")
    source, now = open_source(str(earlier), storage="unused"), fingerprint(space)
    study = optuna.create_study(direction="maximize")
    take_over(source, study, space=space, now=now)
    study.tell(study.ask(space.distributions), 0.5)
    take_over(source, study, space=space, now=now)
    assert len(study.trials) == 6


def test_a_study_with_trials_of_another_search_is_rejected(earlier: Path) -> None:
    space = space_of(x="interval(0,1)")
    source = open_source(str(earlier), storage="unused")
    other = optuna.create_study(direction="maximize")
    other.tell(other.ask(space.distributions), 0.5)
    with pytest.raises(
        ConfigError, match=f"already has trials, but none from {earlier}. To resume that study, leave out fork"
    ):
        take_over(source, other, space=space, now=fingerprint(space))
    assert len(other.trials) == 1


@pytest.mark.parametrize("content", [None, "[", "other: 1"])
def test_a_folder_without_a_search_is_rejected(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "optimization_results.yaml").write_text(content)
    with pytest.raises(ConfigError, match="not the folder of a search"):
        open_source(str(tmp_path), storage="unused")


@pytest.mark.parametrize(
    ("name", "message"), [("gone", "its storage no longer has the study"), ("foreign", "not made by")]
)
def test_a_deleted_or_foreign_study_is_rejected(name: str, message: str, earlier: Path) -> None:
    optuna.create_study(study_name="foreign", storage=open_storage(str(earlier / "study.journal")))
    (earlier / "optimization_results.yaml").write_text(f"study_name: {name}\nstorage: x\n")
    with pytest.raises(ConfigError, match=message):
        open_source(str(earlier), storage="unused")
