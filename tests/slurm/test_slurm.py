"""`hydra/launcher=submitit_slurm` on a real Slurm of one node, which the script `cluster` beside this file starts."""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from tests.command import TINY, TRUST, start, study_in, succeed, the_folder, train

COMMANDS = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
MISSING = [command for command in COMMANDS if shutil.which(command, path=PATH) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"needs {', '.join(MISSING)}: apt-get install slurm-wlm slurmdbd munge mariadb-server",
    ),
    pytest.mark.skipif(
        importlib.util.find_spec("submitit") is None, reason="needs hydra-submitit-launcher: pip install -e '.[slurm]'"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as slurmd does"),
]

SLURM = ("hparams_search=mlp", *TINY, "hydra/launcher=submitit_slurm")
SLEEPY = ("model._target_=faulty.SleepyClassifier", "hydra/sweeper/pruner=none")
WHOLE_NODE = "hydra.launcher.cpus_per_task=4"


@contextlib.contextmanager
def cluster(folder: Path, *, accounting: str) -> Iterator[dict[str, str]]:
    """Run a cluster in the block; its value is the environment in which Slurm's commands find it."""
    script = Path(__file__).with_name("cluster")
    subprocess.run([script, "start", folder], env={**os.environ, "ACCOUNTING": accounting}, check=True, timeout=120)
    try:
        yield {"SLURM_CONF": str(folder / "slurm.conf"), **TRUST}
    finally:
        subprocess.run([script, "stop", folder], check=True, timeout=120)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with cluster(tmp_path_factory.mktemp("slurm") / "cluster", accounting="yes") as env:
        yield env


def queue(env: dict[str, str], *options: str) -> list[str]:
    """Return the ids of the jobs in the queue."""
    command = ["squeue", "--noheader", "--format=%i", *options]
    return subprocess.run(command, env={**os.environ, **env}, check=True, capture_output=True, text=True).stdout.split()


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> float:
    """Return the seconds until the condition held."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() < begin + seconds, "it did not come true"
        time.sleep(0.1)
    return time.monotonic() - begin


def trials_of(cwd: Path) -> list[FrozenTrial]:
    with contextlib.suppress(KeyError, ValueError):  # there is no study or no folder yet
        return study_in(the_folder(cwd)).get_trials(deepcopy=False)
    return []


def has_epochs(cwd: Path, n_epochs: int) -> Callable[[], bool]:
    """Return a function that tells whether some trial has reported so many epochs."""
    return lambda: any(len(trial.intermediate_values) >= n_epochs for trial in trials_of(cwd))


def worker_of(study: optuna.Study) -> int:
    """Return the process of the first trial."""
    pid: int = study.trials[0].user_attrs["owner"]["pid"]
    return pid


def log_of(cwd: Path) -> str:
    return (the_folder(cwd) / "0" / "train.log").read_text()


@pytest.mark.parametrize(("trials_per_job", "n_jobs"), [pytest.param(1, 8, marks=pytest.mark.long), (4, 2)])
def test_a_search_with_pruning_and_refit(
    trials_per_job: int, n_jobs: int, slurm: dict[str, str], tmp_path: Path
) -> None:
    options = ("hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=8", "trainer.max_epochs=5")
    ran = succeed(*SLURM, *options, f"hydra.sweeper.trials_per_job={trials_per_job}", cwd=tmp_path, **slurm)
    folder = the_folder(tmp_path)
    trials = trials_of(tmp_path)
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
    assert len(trials) == 8
    assert (folder / "best" / "model.pt").is_file()
    assert "Bypassing" not in ran.err
    assert ran.err.count("\n") < 20
    n_submitted = len(list((folder / ".submitit").glob("[0-9]*")))
    assert n_jobs <= n_submitted <= n_jobs + 2  # one for the refit, and one for the last trial of two workers
    assert queue(slurm) == []


@pytest.mark.long
@pytest.mark.parametrize("accounting", ["no", "yes"])
def test_a_killed_job_is_noticed_within_seconds_and_its_trial_runs_again(accounting: str, tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", accounting=accounting) as env:
        search = start(
            *SLURM, *SLEEPY, "hydra.sweeper.n_trials=1", "trainer.max_epochs=8", cwd=tmp_path, SLEEP_S="1", **env
        )
        wait_until(has_epochs(tmp_path, 2))
        os.kill(worker_of(study_in(the_folder(tmp_path))), signal.SIGKILL)
        assert wait_until(lambda: trials_of(tmp_path)[0].user_attrs.get("retries") == 1) < 30
        _, err = search.communicate(timeout=120)
        assert search.returncode == 0
        assert "Bypassing" not in err


def test_the_first_ctrl_c_cancels_what_is_queued_and_lets_the_running_trials_end_their_epoch(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    options = ("hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=4", "trainer.max_epochs=100", WHOLE_NODE)
    search = start(*SLURM, *SLEEPY, *options, cwd=tmp_path, SLEEP_S="1", **slurm)
    wait_until(has_epochs(tmp_path, 2))
    assert len(queue(slurm, "--states=PENDING")) == 1
    search.send_signal(signal.SIGINT)
    search.communicate(timeout=20)
    assert search.returncode == 130
    assert queue(slurm) == []
    trials = trials_of(tmp_path)
    assert [trial.state for trial in trials] == [TrialState.WAITING] * 2
    assert sorted(len(trial.intermediate_values) > 0 for trial in trials) == [False, True]
    assert all("retries" not in trial.user_attrs for trial in trials)


@pytest.mark.long  # beside other tests the job may take longer than this to leave the queue
def test_the_second_ctrl_c_kills_what_runs_and_what_is_queued(slurm: dict[str, str], tmp_path: Path) -> None:
    options = ("hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=4", WHOLE_NODE)
    search = start(*SLURM, *SLEEPY, *options, cwd=tmp_path, SLEEP_S="100", **slurm)
    wait_until(lambda: any((tmp_path / "outputs").glob("mlp/*/*/train.log")))
    time.sleep(5)  # it sleeps in its first epoch
    search.send_signal(signal.SIGINT)
    time.sleep(1)
    begin = time.monotonic()
    search.send_signal(signal.SIGINT)
    search.communicate(timeout=30)
    assert time.monotonic() - begin < 10
    assert search.returncode == 130
    assert queue(slurm) == []
    assert [trial.state for trial in trials_of(tmp_path)] == [TrialState.WAITING] * 2


def check_that_the_trial_was_resumed(cwd: Path, *, n_epochs: int) -> None:
    assert "The trial resumes from" in log_of(cwd)
    [trial] = trials_of(cwd)
    assert (trial.state, len(trial.intermediate_values)) == (TrialState.COMPLETE, n_epochs)
    assert "retries" not in trial.user_attrs


@pytest.mark.parametrize("signum", ["TERM", pytest.param("USR2", marks=pytest.mark.long)])
def test_a_trial_whose_job_is_preempted_goes_on_in_another_job(
    signum: str, slurm: dict[str, str], tmp_path: Path
) -> None:
    options = ("hydra.sweeper.n_trials=1", "trainer.max_epochs=8")
    search = start(*SLURM, *SLEEPY, *options, cwd=tmp_path, SLEEP_S="1", **slurm)
    wait_until(has_epochs(tmp_path, 2))
    [job] = queue(slurm)
    subprocess.run(["scancel", f"--signal={signum}", job], env={**os.environ, **slurm}, check=True)
    search.communicate(timeout=120)
    assert search.returncode == 0
    check_that_the_trial_was_resumed(tmp_path, n_epochs=8)


@pytest.mark.long
def test_a_trial_longer_than_the_time_limit_of_its_job_ends_in_another_job(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    # The signal comes after 0 to 60 of 120 s, because Slurm may send it a minute early. The refit fits into one job.
    options = ("hydra.sweeper.n_trials=1", "trainer.max_epochs=4", "hydra.launcher.timeout_min=2")
    search = start(*SLURM, *SLEEPY, *options, cwd=tmp_path, SLEEP_S="24", **slurm)
    _, err = search.communicate(timeout=400)
    assert search.returncode == 0, err
    check_that_the_trial_was_resumed(tmp_path, n_epochs=4)


@pytest.mark.long
def test_the_jobs_of_a_killed_search_end_by_themselves_and_a_queued_one_does_nothing(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    options = ("hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=2", "trainer.max_epochs=100", WHOLE_NODE)
    search = start(*SLURM, *SLEEPY, *options, cwd=tmp_path, SLEEP_S="1", **slurm)
    wait_until(has_epochs(tmp_path, 2))
    search.kill()
    search.communicate(timeout=20)
    wait_until(lambda: queue(slurm) == [])
    states = {trial.state: len(trial.intermediate_values) for trial in trials_of(tmp_path)}
    assert set(states) == {TrialState.WAITING, TrialState.RUNNING}
    assert states[TrialState.RUNNING] == 0  # the next search takes it over
    train("resume=last", "hydra.sweeper.timeout=30", cwd=tmp_path, SLEEP_S="1", **slurm)
    assert queue(slurm) == []
    assert TrialState.RUNNING not in [trial.state for trial in trials_of(tmp_path)]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("hydra.launcher.partition=nowhere", "the scheduler refuses the settings of hydra.launcher"),
        ("hydra.launcher.nodes=2", "hydra.launcher.nodes is 2; it must be 1"),
    ],
)
def test_settings_that_slurm_refuses_are_one_message(
    option: str, message: str, slurm: dict[str, str], tmp_path: Path
) -> None:
    ran = train(*SLURM, option, cwd=tmp_path, **slurm)
    assert ran.code == 1
    assert message in ran.err
    assert "Traceback" not in ran.err
    assert "no trial completed" not in ran.err
    assert not (tmp_path / "outputs").exists()
