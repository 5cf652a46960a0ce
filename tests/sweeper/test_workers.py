"""Searches by several workers of this machine: `workers=`, `gpus=` with a list of GPUs that do not exist."""

import json
import os
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from optuna.trial import TrialState

from tests.command import SMALL, TINY, TRUST, start, study_in, succeed, the_folder

pytestmark = pytest.mark.slow

SEARCH = ("hparams_search=mlp", "hydra.sweeper.max_retries=2")


def test_four_workers_share_two_gpus_and_the_gpu_of_a_killed_one_is_taken_by_the_next(tmp_path: Path) -> None:
    search = (*SEARCH, *TINY, "trainer.max_epochs=2", "model._target_=faulty.KilledOnce", "hydra.sweeper.n_trials=8")
    gpus = ("gpus=auto", "workers_per_gpu=2")
    succeed(*search, *gpus, cwd=tmp_path, CUDA_VISIBLE_DEVICES="3,5", **TRUST)
    folder = the_folder(tmp_path)
    trials = study_in(folder).trials
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
    assert [trial.number for trial in trials if trial.user_attrs.get("retries")] == [2]

    gpus_of_worker = defaultdict(set)
    for file in folder.glob("*/seen.*"):
        gpus_of_worker[file.suffix].add(file.read_text())
    assert all(len(gpus) == 1 for gpus in gpus_of_worker.values()), "a worker keeps its GPU"
    before, after = (
        file.read_text() for file in sorted((folder / "2").glob("seen.*"), key=lambda f: f.stat().st_mtime)
    )
    assert before == after
    n_workers = Counter(gpu for [gpu] in gpus_of_worker.values())
    assert n_workers == {"3": 2, "5": 2} | {before: 3}

    command = json.loads((folder / "command.json").read_text())
    assert {"hydra.launcher.gpus=auto", "hydra.sweeper.n_jobs=null", "hydra/launcher=processes"} <= {*command}
    more = ("resume=last", "hydra.sweeper.n_trials=9")
    succeed(*more, cwd=tmp_path, CUDA_VISIBLE_DEVICES="0", **TRUST)  # another machine has other GPUs
    [seen] = (folder / "8").glob("seen.*")
    assert seen.read_text() == "0"


def test_each_trial_names_its_device_and_has_its_seed_in_its_config(tmp_path: Path) -> None:
    succeed(*SEARCH, *SMALL, "workers=2", "seed=7", "hydra.sweeper.n_trials=3", cwd=tmp_path)
    folder = the_folder(tmp_path)
    trials = study_in(folder).trials
    assert [trial.user_attrs["device"] for trial in trials] == ["cpu"] * 3
    assert len({trial.user_attrs["owner"]["pid"] for trial in trials}) == 2
    assert [OmegaConf.load(folder / str(n) / ".hydra" / "config.yaml").seed for n in range(3)] == [7] * 3


def test_a_foreign_data_module_is_prepared_by_one_worker_at_a_time(tmp_path: Path) -> None:
    download = tmp_path / "download"
    download.mkdir()
    data = ("data=synthetic", *TINY[1:], "data._target_=faulty.DownloadedData", f"+data.folder={download}")
    trials = (
        "workers=3",
        "hydra.sweeper.n_trials=6",
        "trainer.max_epochs=1",
        "hydra.sweeper.max_consecutive_failures=1",
    )
    succeed(*SEARCH, *data, *trials, cwd=tmp_path, **TRUST)
    assert [trial.state for trial in study_in(the_folder(tmp_path)).trials].count(TrialState.FAIL) == 0
    assert len((download / "calls").read_text()) >= 6
    assert len({*(download / "workers").read_text().split()}) > 1


@pytest.mark.parametrize("arguments", [("workers=1", "gpus=auto"), ("workers=auto",)])
def test_the_number_of_workers_is_known_in_the_preflight(arguments: tuple[str, ...], tmp_path: Path) -> None:
    ran = succeed(*SEARCH, *SMALL, *arguments, "preflight=true", cwd=tmp_path, CUDA_VISIBLE_DEVICES="0,1")
    n = len(os.sched_getaffinity(0)) if arguments == ("workers=auto",) else 1
    assert (f", {n} at a time" in ran.out) == (n > 1)


def test_more_workers_than_the_gpus_hold_are_one_message(tmp_path: Path) -> None:
    process = start(*SEARCH, *SMALL, "workers=3", "gpus=[0,1]", cwd=tmp_path, CUDA_VISIBLE_DEVICES="0,1")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == (
        "error: there are 3 workers, but gpus=[0,1] with workers_per_gpu=1 hold 2. Set workers=2, or"
        " workers_per_gpu=2.\n"
    )
    assert list(tmp_path.iterdir()) == []
