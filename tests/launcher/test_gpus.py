"""The GPUs that workers share, without one: a list in CUDA_VISIBLE_DEVICES, or a number that torch would count."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from lightsweep.errors import ConfigError
from lightsweep.launcher import gpus as gpus_module
from lightsweep.launcher.gpus import Gpus, environment_of
from lightsweep.launcher.launcher import ProcessesLauncher
from lightsweep.launcher.pool import WorkerDied
from tests.launcher.launched import launcher_in, text_of
from tests.launcher.test_launcher import launch_in_thread, result


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.setattr(gpus_module, "_n_devices", lambda: 4)


@pytest.mark.parametrize(
    ("visible", "gpus", "ids"),
    [
        (None, None, ()),
        (None, "auto", ("0", "1", "2", "3")),
        (None, [1, 3], ("1", "3")),
        (None, OmegaConf.create([3, "GPU-8f2a"]), ("3", "GPU-8f2a")),
        ("2,3", "auto", ("2", "3")),
        ("2, 3,-1,0", "auto", ("2", "3")),  # CUDA ignores what follows an invalid entry
        ("GPU-8f2a,MIG-1/2/0", "auto", ("GPU-8f2a", "MIG-1/2/0")),
        ("2,3", [3], ("3",)),
        ("2,3", None, ()),
    ],
)
@pytest.mark.usefixtures("four_gpus")
def test_gpus_are_those_of_the_list_or_all_that_the_user_lets_be_seen(
    visible: str | None, gpus: Any, ids: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert Gpus.of(gpus, 1).ids == ids


NO_LIST = "it must be auto, or a list of different GPUs"


@pytest.mark.parametrize(
    ("visible", "gpus", "per_gpu", "message"),
    [
        (None, "all", 1, f"hydra.launcher.gpus is all; {NO_LIST}"),
        (None, 2, 1, f"hydra.launcher.gpus is 2; {NO_LIST}"),
        (None, [], 1, rf"hydra.launcher.gpus is \[\]; {NO_LIST}"),
        (None, [0, 0], 1, NO_LIST),
        (None, [-1], 1, NO_LIST),
        (None, ["cuda:0"], 1, NO_LIST),
        (None, [0, 7], 1, "torch sees 0, 1, 2, 3, without 7. Choose among those, or set gpus=auto."),
        ("2,3", [0], 1, "CUDA_VISIBLE_DEVICES is 2,3, without 0"),
        ("GPU-a", ["GPU-b"], 1, "CUDA_VISIBLE_DEVICES is GPU-a, without GPU-b"),
        ("", "auto", 1, "CUDA_VISIBLE_DEVICES lists none. Leave gpus out to train on the CPU."),
        ("-1", [0], 1, "CUDA_VISIBLE_DEVICES lists none"),
        (None, "auto", 0, "hydra.launcher.workers_per_gpu is 0; it must be a whole number of at least 1."),
        (None, None, 2, "workers_per_gpu is 2, but no GPUs are given: add gpus=auto, or set workers_per_gpu=1."),
    ],
)
@pytest.mark.usefixtures("four_gpus")
def test_wrong_gpus_are_one_message(
    visible: str | None, gpus: Any, per_gpu: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(ConfigError, match=message):
        Gpus.of(gpus, per_gpu)


@pytest.mark.parametrize("gpus", ["auto", [0]])
def test_a_machine_without_a_gpu_is_named(gpus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus_module, "_n_devices", lambda: 0)
    with pytest.raises(ConfigError, match="torch sees no GPU on this machine"):
        Gpus.of(gpus, 1)


@pytest.mark.parametrize(
    ("ids", "per_gpu", "n_jobs", "n_workers"),
    [
        (("0", "1"), 1, None, 2),
        (("0", "1"), 3, None, 6),
        (("0", "1"), 2, 3, 3),
        ((), 1, 5, 5),
        ((), 1, None, 8),
        (("0", "1"), 1, 3, "there are 3 workers, but gpus=.0,1. with workers_per_gpu=1 hold 2. Set workers=2, or"),
        (("0", "1"), 2, 9, "Set workers=4, or workers_per_gpu=5."),
    ],
)
def test_as_many_workers_as_are_asked_for_or_as_there_is_room_for(
    ids: tuple[str, ...], per_gpu: int, n_jobs: int | None, n_workers: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus_module, "cpu_count", lambda: 8)
    gpus = Gpus(ids, per_gpu)
    if isinstance(n_workers, int):
        assert gpus.n_workers(n_jobs) == n_workers
    else:
        with pytest.raises(ConfigError, match=n_workers):
            gpus.n_workers(n_jobs)


@pytest.mark.parametrize(
    ("living", "gpu"),
    [([], "0"), (["0"], "1"), (["0", "1"], "0"), (["0", "0", "1"], "1"), (["1", "1", "0", "0"], "0")],
)
def test_a_worker_gets_the_gpu_with_the_fewest_living_workers(living: Sequence[str], gpu: str) -> None:
    assert Gpus(("0", "1"), 2).next_for(living) == gpu
    assert Gpus().next_for([None]) is None


def test_gpus_are_numbered_as_in_nvidia_smi_unless_the_user_numbers_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    assert environment_of(None) == {}
    assert environment_of("1") == {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert environment_of("1") == {"CUDA_VISIBLE_DEVICES": "1"}


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessesLauncher]:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    settings = ("hydra.launcher.gpus=auto", "hydra.launcher.workers_per_gpu=2", "hydra.launcher.n_jobs=4")
    with launcher_in(tmp_path, *settings) as launcher:
        yield launcher


def test_four_workers_share_two_gpus_and_the_one_that_replaces_a_dead_one_takes_its_gpu(
    launcher: ProcessesLauncher, tmp_path: Path
) -> None:
    files = [tmp_path / str(n) for n in range(4)]
    futures = [launch_in_thread(launcher, "do=sleep", f"arg={file}") for file in files]
    pids = [int(text_of(file)) for file in files]
    seen = {pid: gpu_seen_by(pid) for pid in pids}
    assert Counter(seen.values()) == {"0": 2, "1": 2}

    for pid in pids[:3:2]:
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerDied, match="SIGKILL"):
            futures[pids.index(pid)].result(timeout=20)
        replaced = launch_in_thread(launcher, "do=sleep", f"arg={tmp_path / f'after_{pid}'}")
        assert gpu_seen_by(int(text_of(tmp_path / f"after_{pid}"))) == seen[pid]
        assert not replaced.done()


def gpu_seen_by(pid: int) -> str:
    """The variable with which the process was started: it is there before torch can be imported."""
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    [gpu] = [v.partition(b"=")[2].decode() for v in variables if v.startswith(b"CUDA_VISIBLE_DEVICES=")]
    return gpu


def test_a_worker_that_dies_while_it_is_idle_leaves_its_gpu_to_the_next(launcher: ProcessesLauncher) -> None:
    jobs = launcher.launch([["do=gpu", "arg=0.5"]] * 4, initial_job_idx=0)
    pids, gpus = zip(*(job.return_value for job in jobs), strict=True)
    assert sorted(gpus) == ["0", "0", "1", "1"]
    os.kill(pids[2], signal.SIGKILL)
    time.sleep(0.5)
    after = [job.return_value for job in launcher.launch([["do=gpu", "arg=0.5"]] * 4, initial_job_idx=4)]
    assert Counter(gpu for _, gpu in after) == {"0": 2, "1": 2}
    assert len({pid for pid, _ in after} - {*pids}) == 1


def test_the_driver_keeps_its_own_environment(launcher: ProcessesLauncher) -> None:
    result(launcher)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


@pytest.mark.parametrize(("n_jobs", "expected"), [("null", 2), ("5", "there are 5 workers")])
def test_the_number_of_jobs_of_a_launcher_follows_its_gpus(
    n_jobs: str, expected: int | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    settings = (f"hydra.launcher.n_jobs={n_jobs}", "hydra.launcher.gpus=[0,2]")
    if isinstance(expected, int):
        with launcher_in(tmp_path, *settings) as launcher:
            assert launcher.pool.n_jobs == expected
    else:
        with pytest.raises(ConfigError, match=expected), launcher_in(tmp_path, *settings):
            pass
