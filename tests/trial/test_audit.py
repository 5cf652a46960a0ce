"""Some trials that would be pruned run to the end, and tell how often the pruner is wrong."""

from pathlib import Path

import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightsweep.report.statistics import StudyStatistics, wilson_interval
from lightsweep.trial.pruner import AUDITED, is_audited
from tests.command import TINY, rows_of, study_in, succeed, the_folder


def test_about_the_share_is_audited_and_a_resumed_trial_is_treated_the_same() -> None:
    drawn = [is_audited("mlp", number, share=0.1) for number in range(2000)]
    assert 140 < sum(drawn) < 260
    assert drawn == [is_audited("mlp", number, share=0.1) for number in range(2000)]
    assert not any(is_audited("mlp", number, share=0.0) for number in range(100))
    assert all(is_audited("mlp", number, share=1.0) for number in range(100))


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(0, 10, 0.0, 0.278), (5, 10, 0.237, 0.763), (10, 10, 0.722, 1.0), (1, 1, 0.207, 1.0)],  # from tables of it
)
def test_the_interval_of_the_share_is_wilsons(k: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(k, n) == (pytest.approx(low, abs=0.001), pytest.approx(high, abs=0.001))


def trial(number: int, value: float, *, audited: bool) -> FrozenTrial:
    attrs = {AUDITED: {"epoch": 1, "value": 0.1, "reason": ""}} if audited else {}
    made = create_trial(state=TrialState.COMPLETE, value=value, user_attrs=attrs)
    made.number = number
    return made


@pytest.mark.parametrize(
    ("direction", "n_wrong", "best"),
    [(StudyDirection.MAXIMIZE, 1, "0.9000 (trial 3)"), (StudyDirection.MINIMIZE, 2, "0.2000 (trial 1)")],
)
def test_the_overview_counts_the_audited_trials_that_became_the_best(
    direction: StudyDirection, n_wrong: int, best: str
) -> None:
    statistics = StudyStatistics(directions=[direction])
    for one in (trial(0, 0.7, audited=False), trial(1, 0.2, audited=True), trial(3, 0.9, audited=True)):
        statistics.add(one)
    if direction == StudyDirection.MINIMIZE:
        statistics.add(trial(4, 0.6, audited=True))
    text = statistics.overview("val/acc")["Audit of pruning"]
    assert f"{n_wrong} became the best" in text
    assert f"the best of them is {best}" in text
    assert statistics.best is not None
    assert statistics.best.number in (1, 3)  # an audited trial is a trial like others


def test_without_an_audited_trial_the_overview_does_not_speak_of_it() -> None:
    statistics = StudyStatistics(directions=[StudyDirection.MAXIMIZE])
    statistics.add(trial(0, 0.7, audited=False))
    assert "Audit of pruning" not in statistics.overview("val/acc")


@pytest.mark.slow
def test_an_audited_trial_runs_to_the_end_and_the_others_are_pruned(tmp_path: Path) -> None:
    pruner = ("hydra/sweeper/pruner=threshold", "hydra.sweeper.pruner.lower=2")  # no accuracy passes
    options = ("trainer.max_epochs=3", "hydra.sweeper.n_trials=8", "hydra.sweeper.audit=0.5")
    ran = succeed("hparams_search=mlp", *TINY, *pruner, *options, cwd=tmp_path)
    trials = study_in(the_folder(tmp_path)).trials
    audited = [t.number for t in trials if AUDITED in t.user_attrs]
    assert audited == [n for n in range(8) if is_audited("mlp", n, share=0.5)]
    states = {row["number"]: (row["state"], row["n_epochs"]) for row in rows_of(the_folder(tmp_path) / "trials.csv")}
    for n in range(8):
        assert states[str(n)] == (("complete", "3") if n in audited else ("pruned", "2"))
    assert trials[audited[0]].user_attrs[AUDITED]["reason"].startswith("val/acc ")
    assert f"of {len(audited)} trials that would have been pruned" in ran.out
