"""A job of a search runs as Hydra itself would run it: folder, files, log, and what the task sees."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from lightsweep.launcher.in_process import InProcessLauncher
from lightsweep.launcher.job import run_search_job
from lightsweep.sweeper.job_config import composing_once
from lightsweep.trust import TRUSTED_TARGETS
from tests.conftest import CONF

FIXED = ["hparams_search=mlp", "hydra.sweeper.study_name=true"]
JOBS = [
    ["model.n_layers=3", "optimizer=sgd", "optimizer.lr=1e-05"],
    ["model.n_layers=2", "optimizer=adam", "monitor=null", "direction=minimize"],
    [r"+note='a b,c=d \'é\' ${seed}'", "+empty=''", "+list=[1,{a: 2}]"],
    ["hydra.sweep.subdir=best"],
    ["hydra.job.chdir=true"],
    ["hydra.output_subdir=null"],
    [],
]


class Jobs:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        usual = HydraContext(
            config_loader=GlobalHydra.instance().config_loader(),
            callbacks=Callbacks(),
            execution_whitelist=TRUSTED_TARGETS,
        )
        self.context = composing_once(usual)
        self.config = usual.config_loader.load_configuration(
            "train",
            overrides=[*FIXED, f"hydra.sweep.dir={folder}", "+hydra.job.env_set.SEEN=${seed}"],
            run_mode=RunMode.MULTIRUN,
        )
        self.seen: list[Any] = []

    def task(self, cfg: DictConfig) -> float:
        logging.getLogger("task").info("it runs")
        now = HydraConfig.get()
        self.seen.append(
            (
                OmegaConf.to_yaml(cfg),
                OmegaConf.to_container(now, resolve=False),
                (now.runtime.output_dir, now.sweeper.direction, now.job.num, cfg.trainer.default_root_dir),
                (OmegaConf.is_readonly(now), OmegaConf.is_struct(cfg), OmegaConf.is_readonly(cfg)),
                Path.cwd(),
            )
        )
        if cfg.monitor is None:
            raise ValueError("no monitor")
        return float(cfg.seed)

    def run(self, run: Any, overrides: list[str], **more: Any) -> JobReturn:
        config = self.context.config_loader.load_sweep_config(self.config, [*FIXED[:1], *overrides])
        with open_dict(config):
            config.hydra.job.id = "a_7"
            config.hydra.job.num = 7
        done: JobReturn = run(hydra_context=self.context, config=config, task_function=self.task, **more)
        return done

    def files(self) -> dict[str, str]:
        """What lies in the folder, without the times and the frames in the logs; it is removed."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                lines = [
                    line for line in path.read_text().splitlines() if not line.startswith("  ") or path.suffix != ".log"
                ]
                found[str(path.relative_to(self.folder))] = "\n".join(line.split("][", 1)[-1] for line in lines)
                path.unlink()
        return found


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    setup_globals()
    with initialize_config_dir(config_dir=str(CONF)):
        yield Jobs(tmp_path / "sweep")
    logging.shutdown()
    root.setLevel(before[0])
    root.handlers[:] = before[1]


@pytest.mark.parametrize("overrides", JOBS, ids=" ".join)
def test_it_does_what_hydra_does(overrides: list[str], jobs: Jobs) -> None:
    outside = HydraConfig.instance().cfg
    expected = jobs.run(run_job, overrides, job_dir_key="hydra.sweep.dir", job_subdir_key="hydra.sweep.subdir")
    files, seen = jobs.files(), jobs.seen.pop()
    for _ in range(2):
        done = jobs.run(run_search_job, overrides)
        assert jobs.seen.pop() == seen
        assert jobs.files() == files
        assert (done.status, repr(done._return_value)) == (expected.status, repr(expected._return_value))
        assert (done.overrides, done.working_dir, done.task_name) == (
            expected.overrides,
            expected.working_dir,
            expected.task_name,
        )
        assert HydraConfig.instance().cfg is outside


def test_no_job_changes_what_the_next_one_writes(jobs: Jobs) -> None:
    for overrides in JOBS[:3] * 2:
        jobs.run(run_job, overrides, job_dir_key="hydra.sweep.dir", job_subdir_key="hydra.sweep.subdir")
        expected = jobs.files()
        jobs.run(run_search_job, overrides)
        assert jobs.files() == expected


def test_each_job_has_a_log_of_its_own_and_between_them_there_is_hydras(jobs: Jobs) -> None:
    launcher = InProcessLauncher()
    launcher.config, launcher.hydra_context, launcher.task_function = jobs.config, jobs.context, jobs.task
    root = logging.getLogger()
    for number in range(3):
        launcher.launch([FIXED[:1]], initial_job_idx=number)
        assert [type(handler) for handler in root.handlers] == [logging.StreamHandler]
        assert root.handlers[0].formatter is not None
        assert root.handlers[0].formatter._fmt == jobs.config.hydra.hydra_logging.formatters.console.format
        logging.getLogger("task").error("between the jobs")
    logs = [text for name, text in jobs.files().items() if name.endswith(".log")]
    assert [text.count("it runs") for text in logs] == [1, 1, 1]
    assert not any("between" in text for text in logs)


def test_a_job_that_fails_is_returned_and_logged(jobs: Jobs) -> None:
    done = jobs.run(run_search_job, ["monitor=null"])
    assert done.status == JobStatus.FAILED
    assert repr(done._return_value) == "ValueError('no monitor')"
    assert any("Job failed" in text for text in jobs.files().values())


def test_where_callbacks_look_hydra_runs_the_job(jobs: Jobs) -> None:
    ended: list[JobReturn] = []

    class Watcher:
        def on_job_start(self, **_: Any) -> None: ...

        def on_job_end(self, config: DictConfig, job_return: JobReturn) -> None:
            ended.append(job_return)

    jobs.context.callbacks.callbacks.append(Watcher())
    done = jobs.run(run_search_job, [])
    assert ended == [done]
    assert done.cfg is not None
