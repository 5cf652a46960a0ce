"""Faults from outside, in searches of the real command: killed workers, damaged files, failing disks."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.command import TINY, start, study_in, succeed, the_folder, train

pytestmark = pytest.mark.slow

SEARCH = ("hparams_search=mlp", *TINY)

Mount = Callable[[str], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Mount]]:
    """A folder with its own small file system, and a function that remounts it with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(["mount", *options], capture_output=True).returncode != 0:
        pytest.skip("mounting a file system is not permitted")
    try:
        yield folder, lambda option: subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_the_search_with_one_message_and_it_can_be_resumed(
    disk: tuple[Path, Mount], tmp_path: Path
) -> None:
    folder, remount = disk
    search = (*SEARCH, f"hydra.sweep.dir={folder}/search", "hydra.sweeper.n_trials=6", "trainer.max_epochs=3")
    wide = ("model.hidden_size=choice(384,400)", "model.n_layers=2")  # 2 MB per checkpoint, with the optimizer's state
    ran = train(*search, *wide, cwd=tmp_path)
    assert ran.code == 1
    assert "is full, so nothing more can be written" in ran.err
    assert "Traceback" not in ran.err
    finished = {t.number: t.value for t in study_in(folder / "search").trials if t.state.is_finished()}
    remount("size=200m")
    ran = succeed(*search, *wide, cwd=tmp_path)
    trials = study_in(folder / "search").trials
    assert [t.number for t in trials] == list(range(6))
    assert all(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in trials)
    assert {number: trials[number].value for number in finished} == finished


@pytest.mark.parametrize("search", [[], ["hparams_search=mlp", "hydra.sweeper.n_trials=1"]], ids=["run", "search"])
def test_a_full_disk_is_that_of_the_path_which_can_not_be_written(
    search: list[str], disk: tuple[Path, Mount], tmp_path: Path
) -> None:
    folder, remount = disk
    remount("size=1m")
    (folder / "filler").write_bytes(bytes(1020 * 1024))
    (tmp_path / "table.csv").write_text("x,z,y\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(400)))
    data = ("data=table", "data.path=table.csv", "data.target=y", f"data.cache={folder}/cache", "trainer.max_epochs=1")
    ran = train(*search, *data, cwd=tmp_path)
    assert ran.code == 1
    assert ran.err.splitlines()[-1].startswith(f"error: the disk of {folder}/cache is full, so nothing more can be")
    assert "Traceback" not in ran.err


def test_a_read_only_folder_is_rejected_with_one_message(disk: tuple[Path, Mount], tmp_path: Path) -> None:
    folder, remount = disk
    remount("ro")
    ran = train(*SEARCH, f"hydra.sweep.dir={folder}/search", cwd=tmp_path)
    assert ran.code == 1
    assert ran.err.startswith("error: hydra.sweep.dir is ")
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("launcher", ["processes", pytest.param("joblib", marks=pytest.mark.long)])
def test_a_search_with_killed_workers_completes_every_trial(launcher: str, tmp_path: Path) -> None:
    workers = (f"hydra/launcher={launcher}", "hydra.sweeper.n_jobs=2", "hydra.sweeper.max_retries=3")
    process = start(*SEARCH, *workers, "hydra.sweeper.n_trials=4", "trainer.max_epochs=100", cwd=tmp_path)
    n_killed = 0
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline and n_killed < 2:
        time.sleep(0.2)
        running = running_trials(tmp_path, driver=process.pid)
        if running:
            with contextlib.suppress(ProcessLookupError):  # joblib ends a worker after the other was killed
                os.kill(running[0], signal.SIGKILL)
                n_killed += 1
            time.sleep(2)
    out, err = process.communicate(timeout=120)
    assert n_killed > 0
    assert process.returncode == 0, err
    assert "Traceback" not in err
    trials = study_in(the_folder(tmp_path)).trials
    assert [t.number for t in trials] == list(range(4))
    assert all(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in trials), out
    assert sum(int(t.user_attrs.get("retries", 0)) for t in trials) >= n_killed


def running_trials(cwd: Path, *, driver: int) -> list[int]:
    """Return the process ids that the running trials name, without the driver."""
    try:
        trials = study_in(the_folder(cwd)).trials
    except (ValueError, KeyError):  # there is no study yet
        return []
    owners = [t.user_attrs.get("owner") for t in trials if t.state == TrialState.RUNNING]
    return [owner["pid"] for owner in owners if owner and owner["pid"] != driver]


def test_a_torn_journal_loses_only_its_last_line(tmp_path: Path) -> None:
    search = (*SEARCH, "trainer.max_epochs=2")
    succeed(*search, "hydra.sweeper.n_trials=3", cwd=tmp_path)
    folder = the_folder(tmp_path)
    before = study_in(folder).trials
    journal = folder / "study.journal"
    journal.write_bytes(journal.read_bytes()[:-20])  # the end of trial 2
    succeed("resume=last", "hydra.sweeper.n_trials=4", cwd=tmp_path)
    trials = study_in(folder).trials
    assert [t.number for t in trials] == [0, 1, 2, 3]
    assert all(t.state.is_finished() for t in trials)
    assert [t.params for t in trials[:3]] == [t.params for t in before]
    assert [t.value for t in trials[:2]] == [t.value for t in before[:2]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("finished")
    succeed(*SEARCH, "trainer.max_epochs=1", "hydra.sweeper.n_trials=1", cwd=cwd)
    return the_folder(cwd)


def damage_journal(folder: Path) -> None:
    journal = folder / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], b"{nonsense}\n", *lines[3:]]))


@pytest.mark.parametrize(
    ("damage", "arguments", "message"),
    [
        (None, ["resume=nowhere"], "resume=nowhere: that folder holds no command.json"),
        (None, ["resume=."], "that folder holds no command.json"),
        (lambda f: (f / "command.json").write_text("["), ["resume=FOLDER"], "that folder holds no command.json"),
        (lambda f: (f / "command.json").write_text("[1]"), ["resume=FOLDER"], "that folder holds no command.json"),
        (damage_journal, ["resume=FOLDER"], "study.journal"),
        (lambda f: (f / "study.journal").write_text("notes"), ["resume=FOLDER"], "it is not a journal"),
        (None, ["resume=FOLDER", "seed=1"], "  seed"),
        (None, ["resume=FOLDER", "data.n_samples=300"], "data.n_samples  200   300"),
        (None, ["resume=FOLDER", "trainer.max_epochs=3"], "trainer.max_epochs  1     3"),
        (None, ["resume=FOLDER", "optimizer.lr=interval(0.1,0.2)"], "(log)  searched: 0.1 to 0.2"),
        (None, ["resume=FOLDER", "optimizer=choice(adam,sgd)", "allow_changes=[optimizer]"], "can't change"),
        (None, [*SEARCH, "fork=nowhere"], "fork=nowhere: that folder holds no optimization_results.yaml"),
        (None, [*SEARCH, "allow_changes=3"], "allow_changes"),
        (None, [*SEARCH, "hydra.sweeper.storage=/proc/nope/study.journal"], "hydra.sweeper.storage is"),
        (None, [*SEARCH, "model._target_=os.system"], "os.system"),
    ],
)
def test_damaged_files_and_wrong_arguments_are_one_message_and_change_nothing(
    damage: Callable[[Path], object] | None, arguments: list[str], message: str, finished: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "outputs" / "mlp" / "copy"
    shutil.copytree(finished, folder)
    if damage is not None:
        damage(folder)
    before = sorted(p for p in tmp_path.rglob("*") if p.name != "study.journal.lock")
    ran = train(*(argument.replace("FOLDER", str(folder)) for argument in arguments), cwd=tmp_path)
    assert ran.code == 1
    assert message in ran.err
    assert "Traceback" not in ran.err
    assert sorted(p for p in tmp_path.rglob("*") if p.name != "study.journal.lock") == before
