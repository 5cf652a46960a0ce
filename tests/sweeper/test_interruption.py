"""The real command, interrupted in the middle of a trial and started again."""

import contextlib
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.trial import FrozenTrial, TrialState

from tests.command import TINY, TRUST, rows_of, start, study_in, succeed, the_folder, train

pytestmark = pytest.mark.slow

ONE_LONG_TRIAL = ("hparams_search=mlp", "hydra.sweeper.n_trials=1", "trainer.max_epochs=80", "seed=3")


def wait_for_epochs(cwd: Path, n_epochs: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(KeyError, ValueError):  # there is no study or no folder yet
            trials = study_in(the_folder(cwd)).get_trials(deepcopy=False)
            if trials and len(trials[0].intermediate_values) >= n_epochs:
                return
        time.sleep(0.01)
    raise AssertionError("no epoch was trained")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FrozenTrial]:
    cwd = tmp_path_factory.mktemp("uninterrupted")
    succeed(*ONE_LONG_TRIAL, cwd=cwd)
    return the_folder(cwd), study_in(the_folder(cwd)).trials[0]


@pytest.mark.parametrize(
    ("signum", "every_s", "goes_on"),
    [(signal.SIGTERM, 30, True), (signal.SIGKILL, 0, True), (signal.SIGKILL, 30, False)],
)
def test_an_interrupted_trial_goes_on_where_it_was_and_ends_as_if_nothing_had_happened(
    signum: signal.Signals, every_s: int, goes_on: bool, uninterrupted: tuple[Path, FrozenTrial], tmp_path: Path
) -> None:
    process = start(*ONE_LONG_TRIAL, f"callbacks.last_checkpoint.every_s={every_s}", cwd=tmp_path)
    wait_for_epochs(tmp_path, 3)
    process.send_signal(signum)
    process.communicate(timeout=60)
    assert process.returncode == (-9 if signum == signal.SIGKILL else 128 + signum)
    folder = the_folder(tmp_path)
    reported = study_in(folder).trials[0].intermediate_values
    assert 3 <= len(reported) < 80
    assert (folder / "0" / "checkpoints" / "last.ckpt").exists() is goes_on

    succeed("resume=last", cwd=tmp_path)
    [trial] = study_in(folder).trials
    there, expected = uninterrupted
    assert trial.state == TrialState.COMPLETE
    assert (trial.params, trial.value) == (expected.params, expected.value)
    assert trial.intermediate_values == expected.intermediate_values
    assert trial.user_attrs["best_epoch"] == expected.user_attrs["best_epoch"]
    assert metrics_of(folder) == metrics_of(there)
    log = (folder / "0" / "train.log").read_text()
    assert ("The trial resumes from" in log) is goes_on
    assert not (folder / "0" / "checkpoints" / "last.ckpt").exists()  # a finished trial needs none


def metrics_of(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the log without Lightning's steps: on a slow machine an epoch takes several."""
    return [
        {key: cell for key, cell in row.items() if key != "step"}
        for row in rows_of(folder / "0" / "csv" / "metrics.csv")
    ]


class Code:
    """What a pickle can do to whoever loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("stopped")
    process = start(*ONE_LONG_TRIAL, cwd=cwd)
    wait_for_epochs(cwd, 3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    return cwd


@pytest.mark.parametrize(
    "damage", ["code", *(pytest.param(name, marks=pytest.mark.long) for name in ("torn", "other trial"))]
)
def test_a_checkpoint_that_is_damaged_or_foreign_or_holds_code_is_not_used(
    damage: str, stopped: Path, uninterrupted: tuple[Path, FrozenTrial], tmp_path: Path
) -> None:
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    last = the_folder(tmp_path) / "0" / "checkpoints" / "last.ckpt"
    match damage:
        case "torn":
            last.write_bytes(last.read_bytes()[:-1000])
        case "code":
            torch.save({"callbacks": Code(tmp_path / "was run")}, last)
        case "other trial":
            checkpoint = torch.load(last, weights_only=True)
            checkpoint["callbacks"]["LastCheckpoint"]["trial"] = {"optimizer.lr": "1"}
            torch.save(checkpoint, last)
    succeed("resume=last", cwd=tmp_path)
    assert study_in(the_folder(tmp_path)).trials[0].value == uninterrupted[1].value
    assert not (tmp_path / "was run").exists()
    log = (the_folder(tmp_path) / "0" / "train.log").read_text()
    assert "starts over" in log
    assert "The trial resumes from" not in log


def test_a_search_whose_time_is_over_stops_its_trial_and_goes_on_later(tmp_path: Path) -> None:
    long = ("hparams_search=mlp", "hydra.sweeper.n_trials=2", "trainer.max_epochs=150", "hydra/sweeper/pruner=none")
    ran = train(*long, "hydra.sweeper.timeout=3", cwd=tmp_path)
    assert ran.code == 1  # nothing to ship yet
    assert "hydra.sweeper.timeout of 3 s is over" in ran.out + ran.err
    folder = the_folder(tmp_path)
    assert [t.state for t in study_in(folder).trials][-1] == TrialState.WAITING
    ran = succeed("resume=last", "hydra.sweeper.timeout=null", cwd=tmp_path)
    assert [t.state for t in study_in(folder).trials] == [TrialState.COMPLETE] * 2
    ran = succeed("resume=last", "hydra.sweeper.timeout=null", cwd=tmp_path)
    assert "This search is complete: all of its 2 trials are finished." in ran.err


def test_nothing_of_a_trial_is_left_in_memory_when_the_next_begins(tmp_path: Path) -> None:
    succeed(
        "hparams_search=mlp",
        *TINY,
        "trainer.max_epochs=1",
        "hydra.sweeper.n_trials=8",
        "hydra.sweeper.max_consecutive_failures=9",
        "model._target_=faulty.CountedClassifier",
        "model.hidden_size=choice(8,16)",
        cwd=tmp_path,
        **TRUST,
    )
    folder = the_folder(tmp_path)
    assert {t.state for t in study_in(folder).trials} == {TrialState.COMPLETE, TrialState.FAIL}
    assert {path.read_text() for path in folder.glob("*/alive")} == {"0"}
    assert len(list(folder.glob("*/alive"))) == 9  # and the refit


def test_a_fork_begins_with_what_was_found_and_a_changed_search_is_refused(tmp_path: Path) -> None:
    search = ("hparams_search=mlp", "trainer.max_epochs=1", "hydra.sweeper.n_trials=3")
    succeed(*search, cwd=tmp_path)
    folder = the_folder(tmp_path)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    refused = train("resume=last", "seed=5", "model.activation=gelu", cwd=tmp_path)
    assert refused.code == 1
    assert "  model.activation  relu  gelu" in refused.err
    assert "Traceback" not in refused.err
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before

    ran = succeed(
        *search[:2],
        "hydra.sweeper.n_trials=4",
        f"fork={folder}",
        "optimizer.lr=tag(log,interval(1e-5,1))",
        cwd=tmp_path,
    )
    assert "of 3 finished trials" in ran.err
    assert "3 were taken over" in ran.err
    [forked] = [f for f in (tmp_path / "outputs" / "mlp").iterdir() if f != folder]
    trials = study_in(forked).trials
    assert [t.params for t in trials[:3]] == [t.params for t in study_in(folder).trials]
    assert len(trials) == 4

    allowed = succeed(
        "resume=" + str(folder),
        "model.activation=gelu",
        "allow_changes=[model]",
        "hydra.sweeper.n_trials=4",
        cwd=tmp_path,
    )
    assert "relu  gelu" in allowed.err
