"""The same search on every engine that is installed: workers, pruning, Ctrl-C, resume, time limits, killed workers."""

import importlib.util
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from omegaconf import OmegaConf
from optuna.trial import TrialState

from tests.command import (
    FIXED,
    SMALL,
    TINY,
    TRUST,
    rows_of,
    send_once_running,
    start,
    study_in,
    succeed,
    the_folder,
)

pytestmark = pytest.mark.slow

FINISHED = {TrialState.COMPLETE, TrialState.PRUNED}


def engine(name: str, *overrides: str, plugin: str | None = None) -> Any:
    missing = plugin is not None and importlib.util.find_spec(plugin) is None
    marks = pytest.mark.skipif(missing, reason=f"needs the extra with {plugin}")
    return pytest.param(overrides, id=name, marks=marks)


ALONE = engine("basic")
WITH_WORKERS = [
    engine("processes", "workers=2"),
    engine("joblib", "hydra/launcher=joblib", "workers=2"),
    engine(
        "ray",
        "hydra/launcher=ray",
        "workers=2",
        "hydra.launcher.ray.init.num_cpus=2",
        plugin="hydra_plugins.hydra_ray_launcher",
    ),
    engine(
        "submitit_local", "hydra/launcher=submitit_local", "workers=2", plugin="hydra_plugins.hydra_submitit_launcher"
    ),
]
# The other engines have the same code for these, and each of their tests takes half a minute.
OFTEN = [
    WITH_WORKERS[0],
    *(pytest.param(*row.values, id=row.id, marks=(*row.marks, pytest.mark.long)) for row in WITH_WORKERS[1:]),
]
ENV = {"RAY_ADDRESS": "local"}  # not a cluster that runs here by chance


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return the processes whose command names this folder, or that work in it."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join(process.cmdline()) or process.cwd().startswith(str(folder)):
                found.append(process)
        except psutil.Error:
            continue
    return found


def check_no_process_is_left(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and processes_of(folder):
        time.sleep(0.2)
    assert processes_of(folder) == []


@pytest.mark.parametrize("overrides", [*WITH_WORKERS[:-1], OFTEN[-1]])
def test_two_workers_run_each_trial_in_its_folder_with_its_parameters(
    overrides: tuple[str, ...], tmp_path: Path
) -> None:
    ran = succeed("hparams_search=mlp", *SMALL, *overrides, "hydra.sweeper.n_trials=6", cwd=tmp_path, **ENV)
    folder = the_folder(tmp_path)
    trials = study_in(folder).trials
    assert [trial.number for trial in trials] == list(range(6))
    assert {trial.state for trial in trials} <= FINISHED
    assert len({trial.user_attrs["owner"]["pid"] for trial in trials}) >= 2
    for trial in trials:
        config = OmegaConf.load(folder / str(trial.number) / ".hydra" / "config.yaml")
        assert OmegaConf.select(config, "model.hidden_size") == trial.params["model.hidden_size"]
    assert [int(row["number"]) for row in rows_of(folder / "trials.csv")] == list(range(6))
    assert sum(line.startswith("[") for line in ran.err.splitlines()) == 6  # one line as each trial ends
    assert (folder / "report.html").is_file()
    assert (folder / "best" / "model.pt").is_file()
    check_no_process_is_left(tmp_path)


@pytest.mark.parametrize("overrides", [ALONE, *OFTEN])
def test_a_stopped_search_leaves_no_running_trial_and_no_process_and_goes_on(
    overrides: tuple[str, ...], tmp_path: Path
) -> None:
    arguments = ("hparams_search=mlp", *TINY, "trainer.max_epochs=30", "hydra.sweeper.n_trials=7", *overrides)
    process = start(*arguments, cwd=tmp_path, **ENV)
    send_once_running(process, signal.SIGINT, cwd=tmp_path, n_finished=1)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "stopped by SIGINT" in out
    assert "Traceback" not in err
    check_no_process_is_left(tmp_path)
    folder = the_folder(tmp_path)
    stopped = study_in(folder).trials
    assert {trial.state for trial in stopped} <= {*FINISHED, TrialState.WAITING}
    finished = {trial.number: trial.value for trial in stopped if trial.state in FINISHED}
    assert OmegaConf.load(folder / "optimization_results.yaml").n_trials.finished == len(finished)

    succeed("resume=last", cwd=tmp_path, **ENV)
    trials = study_in(folder).trials
    assert [trial.number for trial in trials] == list(range(7))
    assert {trial.state for trial in trials} <= FINISHED
    assert [trial.params for trial in trials[: len(stopped)]] == [trial.params for trial in stopped]
    assert {number: trials[number].value for number in finished} == finished
    assert (folder / "best" / "model.pt").is_file()


@pytest.mark.parametrize("overrides", [ALONE, *OFTEN])
def test_a_trial_that_takes_too_long_is_a_failure_of_its_own_kind(overrides: tuple[str, ...], tmp_path: Path) -> None:
    ran = succeed(
        "hparams_search=mlp",
        *TINY,
        "hydra.sweeper.trial_timeout=4",
        "hydra.sweeper.n_trials=3",
        "trainer.max_epochs=4",
        "hydra/sweeper/sampler=grid",
        "model._target_=faulty.SlowClassifier",
        "model.hidden_size=choice(8,16,40)",
        *FIXED,
        *overrides,
        cwd=tmp_path,
        **ENV,
        **TRUST,
    )
    assert "2 complete, 0 pruned, 1 failed" in ran.out
    assert " 1 timeout\n" in ran.out
    [slow] = [t for t in study_in(the_folder(tmp_path)).trials if t.state == TrialState.FAIL]
    assert slow.params["model.hidden_size"] == 16
    assert slow.user_attrs["fail_kind"] == "timeout"


@pytest.mark.long  # tests/faults kills workers, too
@pytest.mark.parametrize("overrides", [one for one in WITH_WORKERS if one.id != "joblib"])  # it ends all of its workers
def test_a_worker_that_is_killed_takes_one_trial_with_it_which_runs_again(
    overrides: tuple[str, ...], tmp_path: Path
) -> None:
    ran = succeed(
        "hparams_search=mlp",
        *SMALL,
        "hydra.sweeper.n_trials=4",
        "model._target_=faulty.KilledOnce",
        "hydra/sweeper/pruner=none",
        *overrides,
        cwd=tmp_path,
        **ENV,
        **TRUST,
    )
    assert "4 complete, 0 pruned, 0 failed" in ran.out
    trials = study_in(the_folder(tmp_path)).trials
    assert {trial.number: trial.user_attrs.get("retries", 0) for trial in trials} == {0: 0, 1: 0, 2: 1, 3: 0}
    check_no_process_is_left(tmp_path)
