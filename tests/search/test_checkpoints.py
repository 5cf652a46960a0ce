"""The checkpoints that are kept during a search."""

from pathlib import Path

import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightsweep.search.checkpoints import CheckpointKeeper, delete_last_checkpoints

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


def finished(number: int, value: float | None, sweep_dir: Path, state: TrialState = COMPLETE) -> FrozenTrial:
    folder = sweep_dir / str(number) / "checkpoints"
    folder.mkdir(parents=True)
    for name in ("best.ckpt", "last.ckpt"):
        (folder / name).touch()
    (folder.parent / "result.yaml").touch()
    trial = create_trial(state=state, value=value)
    trial.number = number
    return trial


def kept(sweep_dir: Path) -> dict[int, list[str]]:
    return {
        int(folder.name): sorted(path.name for path in folder.glob("checkpoints/*"))
        for folder in sweep_dir.iterdir()
        if (folder / "checkpoints").exists()
    }


@pytest.mark.parametrize(
    ("direction", "values", "keep", "numbers"),
    [
        ("MAXIMIZE", [0.1, 0.3, 0.2, 0.4], 2, {1, 3}),
        ("MINIMIZE", [0.1, 0.3, 0.2, 0.4], 2, {0, 2}),
        ("MAXIMIZE", [0.5, 0.5, 0.5], 1, {0}),
        ("MINIMIZE", [0.5, 0.5, 0.5], 2, {0, 1}),
        ("MAXIMIZE", [0.1, 0.2], 5, {0, 1}),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_only_the_best_trials_keep_their_checkpoint(
    direction: str, values: list[float], keep: int, numbers: set[int], reverse: bool, tmp_path: Path
) -> None:
    keeper = CheckpointKeeper(tmp_path, keep=keep, directions=[StudyDirection[direction]])
    trials = [finished(number, value, tmp_path) for number, value in enumerate(values)]
    for trial in reversed(trials) if reverse else trials:
        keeper.add(trial)
    assert kept(tmp_path) == {number: ["best.ckpt"] for number in numbers}
    assert len(list(tmp_path.glob("*/result.yaml"))) == len(values)


def test_with_several_objectives_those_of_the_pareto_front_are_kept(tmp_path: Path) -> None:
    keeper = CheckpointKeeper(tmp_path, keep=1, directions=[StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE])
    for number, values in enumerate([(0.5, 10), (0.6, 20), (0.4, 30), (0.6, 15)]):
        trial = finished(number, 0.0, tmp_path)
        trial.values = values
        keeper.add(trial)
    assert set(kept(tmp_path)) == {0, 3}


@pytest.mark.parametrize("state", [PRUNED, FAIL])
def test_the_checkpoints_of_a_trial_that_did_not_complete_are_deleted(state: TrialState, tmp_path: Path) -> None:
    keeper = CheckpointKeeper(tmp_path, keep=5, directions=[StudyDirection.MAXIMIZE])
    keeper.add(finished(0, 0.9 if state == PRUNED else None, tmp_path, state))
    assert kept(tmp_path) == {}


def test_null_keeps_all_checkpoints(tmp_path: Path) -> None:
    CheckpointKeeper(tmp_path, keep=None, directions=[StudyDirection.MAXIMIZE]).add(finished(0, 1.0, tmp_path))
    assert kept(tmp_path) == {0: ["best.ckpt", "last.ckpt"]}


def test_missing_folders_are_ignored_and_other_files_are_kept(tmp_path: Path) -> None:
    finished(0, 0.1, tmp_path)
    keeper = CheckpointKeeper(tmp_path, keep=1, directions=[StudyDirection.MAXIMIZE])
    (tmp_path / "0" / "checkpoints" / "notes.txt").touch()
    pruned = create_trial(state=PRUNED, value=0.1)
    for number in (0, 7):
        pruned.number = number
        keeper.add(pruned)
    assert kept(tmp_path) == {0: ["notes.txt"]}


def test_the_last_checkpoints_of_waiting_trials_can_be_deleted(tmp_path: Path) -> None:
    finished(0, 1.0, tmp_path)
    delete_last_checkpoints(tmp_path)
    assert kept(tmp_path) == {0: ["best.ckpt"]}
