"""Hydra's basic launcher, for a search: each job runs in this process, as Hydra runs it, and sooner."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, configure_log, filter_overrides, setup_globals
from omegaconf import open_dict

from lightsweep.launcher.job import run_search_job

log = logging.getLogger("hydra._internal.core_plugins.basic_launcher")


class RootLog(NamedTuple):
    handlers: list[logging.Handler]
    level: int


class InProcessLauncher(BasicLauncher):
    """Runs jobs one by one; their returns have no configs, see `run_search_job`."""

    _log: RootLog | None = None

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        setup_globals()
        assert self.config is not None
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        log.info("Launching %d jobs locally", len(job_overrides))
        return [self._run(number, overrides) for number, overrides in enumerate(job_overrides, start=initial_job_idx)]

    def _run(self, number: int, overrides: Sequence[str]) -> JobReturn:
        assert self.config is not None
        assert self.hydra_context is not None
        assert self.task_function is not None
        log.info("\t#%d : %s", number, " ".join(filter_overrides(overrides)))
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        returned = run_search_job(hydra_context=self.hydra_context, config=config, task_function=self.task_function)
        self._configure_log()  # Hydra's own again, as before the job
        return returned

    def _configure_log(self) -> None:
        """Hydra's own log again: as it was after the first job, if jobs change nothing but the root's handlers."""
        assert self.config is not None
        assert self.hydra_context is not None
        root = logging.getLogger()
        if self._log is not None:
            for handler in root.handlers:
                handler.close()
            root.handlers, root.level = [*self._log.handlers], self._log.level
            return
        configure_log(
            self.config.hydra.hydra_logging,
            self.config.hydra.verbose,
            execution_whitelist=self.hydra_context.execution_whitelist,
        )
        changes_more = self.config.hydra.job_logging is None or self.config.hydra.job_logging.get("loggers")
        if not changes_more and all(type(handler) is logging.StreamHandler for handler in root.handlers):
            self._log = RootLog([*root.handlers], root.level)
