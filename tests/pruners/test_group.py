"""The pruners that the user can choose, as the replay finds them."""

import sys
from pathlib import Path

import pytest
from optuna.pruners import HyperbandPruner
from optuna.study import StudyDirection
from optuna.trial import create_trial

from lightsweep.errors import ConfigError
from lightsweep.pruners.group import GROUP, build_option, options
from lightsweep.pruners.replays import replay_options
from tests.conftest import CONF

SHIPPED = {path.stem: path for path in sorted((CONF / GROUP).glob("*.yaml"))}


def options_in(folder: Path, **files: str) -> Path:
    (folder / GROUP).mkdir(parents=True)
    for name, text in files.items():
        (folder / GROUP / f"{name}.yaml").write_text(text)
    return folder


def test_the_options_are_those_of_the_shipped_group_and_of_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert options() == SHIPPED
    mine = options_in(tmp_path / "mine", median="_target_: other", mine="_target_: optuna.pruners.NopPruner")
    monkeypatch.setattr(sys, "argv", ["train.py", "--config-dir", "mine"])
    assert options() == {**SHIPPED, "mine": mine / GROUP / "mine.yaml"}


def test_the_options_of_the_program_come_before_those_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options_in(tmp_path / "conf", only="_target_: optuna.pruners.NopPruner")
    monkeypatch.chdir(tmp_path)
    assert [*options()] == ["only"]


def test_the_epochs_are_those_of_the_study() -> None:
    study_epochs = build_option(SHIPPED["hyperband"], max_epochs=27)
    assert isinstance(study_epochs, HyperbandPruner)
    assert study_epochs._max_resource == 27


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("_target_: pathlib.Path", "not on the allowlist"),
        ("_target_: optuna.pruners.MedianPruner\nn_startup: 1", "n_startup"),
        ("_target_: optuna.pruners.HyperbandPruner\nmax_resource: ${nowhere}", "nowhere"),
        ("_target_: optuna.samplers.RandomSampler", "not a pruner"),
        ("_target_: optuna.pruners.WilcoxonPruner\np_threshold: 0.1", "folds"),
        ("- a list", "not a mapping"),
    ],
)
def test_what_can_not_be_replayed_is_left_out_with_the_reason(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = options_in(tmp_path / "conf", wrong=text, right="_target_: optuna.pruners.NopPruner")
    with pytest.raises(ConfigError, match=reason):
        build_option(folder / GROUP / "wrong.yaml", max_epochs=3)
    trials = [create_trial(value=1.0, intermediate_values={0: 1.0})]
    found = replay_options(trials, direction=StudyDirection.MAXIMIZE, study_name="mlp")
    assert [*found.by_option] == ["right"]
    assert reason in found.left_out["wrong"]
