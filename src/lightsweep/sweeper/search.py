"""The search as a whole: check, open the study, run the trials, report, refit the best."""

import difflib
import sys
import time
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from lightsweep.config.command_line import COMMAND, save_command
from lightsweep.config.fingerprint import Fingerprint
from lightsweep.config.resampling import is_reshuffled
from lightsweep.direction import BEST_OF_FIRST, Direction, listed, written
from lightsweep.errors import USER_ERRORS, ConfigError, DiskFullError
from lightsweep.failures import full_disk
from lightsweep.interrupt import Interrupted, output_may_close
from lightsweep.launcher.submitit import SubmititLauncher, cluster_of
from lightsweep.logger.search_run import ending_run_of_search
from lightsweep.preflight.checks import check_search, n_jobs_of
from lightsweep.preflight.preflight import run_preflight
from lightsweep.report.progress import Progress
from lightsweep.report.results import TABLE, Results
from lightsweep.report.statistics import StudyStatistics
from lightsweep.search.checkpoints import CheckpointKeeper, delete_last_checkpoints
from lightsweep.search.config_loader import with_cached_composition
from lightsweep.search.enqueue import Point, enqueue, points_to_enqueue
from lightsweep.search.folder import release_folder, reserve_folder
from lightsweep.search.fork import open_source, take_over
from lightsweep.search.jobs import TrialJobs, session_of
from lightsweep.search.request import Request, parse_request
from lightsweep.search.space import SearchSpace, group_names
from lightsweep.search.study import (
    build_sampler,
    grid_size,
    objective_names,
    open_study,
    record_fingerprint,
    record_n_trials,
    record_objectives,
)
from lightsweep.storage.grpc_proxy import lost_server_as_error
from lightsweep.storage.password import hide_password, masked
from lightsweep.storage.storage import open_storage, storage_url
from lightsweep.sweeper.closing import Closing
from lightsweep.sweeper.config import LightsweepConf
from lightsweep.sweeper.live_report import LiveReport, write_search_report
from lightsweep.sweeper.trials import runner_of_trials
from lightsweep.trial.driver import register_driver
from lightsweep.trial.heartbeat import Heartbeat, has_other_drivers, key_of
from lightsweep.trial.identity import ProcessIdentity
from lightsweep.trial.stop import StopReason, clear_stop_request

MAX_SEED_OFFSET = 1_000_000


class Search:
    """One search, as `hydra.sweeper` describes it."""

    def __init__(
        self,
        settings: dict[str, Any],
        *,
        config: DictConfig,
        hydra_context: HydraContext,
        task_function: TaskFunction,
    ) -> None:
        _check_names(settings)
        self.settings = LightsweepConf(**settings)
        self.directions: list[Direction] = listed(self.settings.direction)  # checked before anything is opened
        self.config = config
        self.hydra_context = with_cached_composition(hydra_context)
        self.task_function = task_function
        self._started = time.monotonic()
        self.monitor, *self.further = objective_names(config, n=len(self.directions))
        self.ship = str(OmegaConf.select(config, "ship", default=BEST_OF_FIRST))

    @lost_server_as_error()
    def run(self, arguments: Sequence[str]) -> None:
        """Search until `n_trials` are finished, then refit the best. Nothing is written before everything is checked.

        Raises `ConfigError` for what the user can mend, also if no trial completed. Exits with a code other than 0
        if anything but the budget ended the search.
        """
        register_driver()
        hide_password(self.config, self.settings.storage)
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # Progress prints a shorter line
        request = self._request(arguments)
        sampler, pruner = check_search(
            self.settings,
            request,
            config_loader=self.hydra_context.config_loader,
            config=self.config,
            url=self._url(Path(self.config.hydra.sweep.dir)),
            fingerprint=lambda: self._fingerprint(request),
        )
        request = replace(request, points=self._points(request))
        self._set_n_jobs()
        if self.settings.preflight:
            self._preflight(request, sampler=sampler)
            return
        # Before a folder is made, because the launcher's settings may be wrong.
        with output_may_close(), session_of(self._launcher()) as launcher:
            self._search_in_folder(request, sampler=sampler, pruner=pruner, launcher=launcher)

    def _set_n_jobs(self) -> None:
        """Replace null by the number, also for a launcher whose settings refer to it."""
        self.settings.n_jobs = n_jobs_of(self.settings, self.config.hydra.launcher)
        with read_write(self.config.hydra), open_dict(self.config.hydra):
            self.config.hydra.sweeper.n_jobs = self.settings.n_jobs

    def _search_in_folder(
        self, request: Request, *, sampler: BaseSampler, pruner: BasePruner, launcher: Launcher
    ) -> None:
        folder, is_new = reserve_folder(self.config)
        try:
            study = self._open_study(folder, request=request, sampler=sampler, pruner=pruner)
            save_command(folder, config=self.config)
            heartbeat = Heartbeat(study, interval=self.settings.heartbeat_interval)
            with heartbeat.beating(), ending_run_of_search(lambda: self._job_config(request), folder):
                self._continue_sampler(study, space=request.space)
                self._search(study, request=request, folder=folder, launcher=launcher, heartbeat=heartbeat)
        except USER_ERRORS:
            if not (folder / TABLE).exists():
                release_folder(folder, is_new=is_new)  # no trial has finished
            raise
        except Interrupted:
            if not (folder / COMMAND).exists():
                release_folder(folder, is_new=is_new)  # no trial has started
            raise
        except Exception as error:
            if path := full_disk(error, folder):  # whichever exception Optuna raised from it
                raise DiskFullError(path) from None
            raise

    def _preflight(self, request: Request, *, sampler: BaseSampler) -> None:
        run_preflight(
            self.settings,
            request,
            sampler=sampler,
            config=self.config,
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            url=self._url(Path(self.config.hydra.sweep.dir)),
        )

    def _search(
        self, study: optuna.Study, *, request: Request, folder: Path, launcher: Launcher, heartbeat: Heartbeat
    ) -> None:
        clear_stop_request(folder)
        jobs = TrialJobs(
            launcher=launcher,
            space=request.space,
            fixed=request.fixed,
            sweep_dir=folder,
            reshuffle=is_reshuffled(self._job_config(request)),
            n_objectives=len(self.directions),
        )
        results = self._results(folder, study=study, jobs=jobs)
        write = partial(write_search_report, study, folder, monitor=self.monitor)
        with LiveReport(write, in_thread=self.settings.n_jobs != 1) as live_report:
            stop_reason = self._run_trials(
                study, jobs=jobs, results=results, heartbeat=heartbeat, live_report=live_report
            )
            closing = Closing(
                study,
                jobs=jobs,
                results=results,
                settings=self.settings,
                config=self.config,
                url=self._url(folder),
                started=self._started,
                compose=self._composed,
                live_report=live_report,
            )
            closing.run(stop_reason)

    def _request(self, arguments: Sequence[str]) -> Request:
        request = parse_request(
            self.settings.params,
            arguments,
            when=self.settings.when,
            config=self.config,
            config_loader=self.hydra_context.config_loader,
        )
        if self.directions != listed(OmegaConf.select(self.config, "direction", default=self.directions)):
            # The checkpoints of the trials must follow the study.
            request.fixed.append(f"direction={written(self.directions)}")
        if request.fixed_by_user and request.space.distributions:
            print(
                f"warning: fixed on the command line and so not searched: {', '.join(request.fixed_by_user)};"
                f" searched are {', '.join(request.space.distributions)}.",
                file=sys.stderr,
            )
        return request

    def _points(self, request: Request) -> list[Point]:
        return points_to_enqueue(
            self.settings.enqueue,
            space=request.space,
            job_config=self._composed(request.fixed),
            storage=self._url(Path(self.config.hydra.sweep.dir)),
        )

    def _url(self, folder: Path) -> str:
        return storage_url(self.settings.storage, sweep_dir=str(folder), cwd=self.config.hydra.runtime.cwd)

    def _open_study(self, folder: Path, *, request: Request, sampler: BaseSampler, pruner: BasePruner) -> optuna.Study:
        source = self.settings.fork and open_source(self.settings.fork, storage=self._url(folder))
        study, is_new = open_study(
            name=self.settings.study_name,
            storage=open_storage(self._url(folder)),
            directions=self.directions,
            sampler=sampler,
            pruner=pruner,
        )
        fingerprint = self._fingerprint(request)
        if source:
            source.taken_into(study)  # refuses what is another search's before it is signed
        if record_fingerprint(study, fingerprint, allow_changes=self.settings.allow_changes):
            delete_last_checkpoints(folder)
        record_objectives(study, [self.monitor, *self.further], ship=self.ship)
        if source:
            print(take_over(source, study, space=request.space, now=fingerprint), file=sys.stderr)
        if is_new:
            enqueue(study, request.points)
        return study

    def _continue_sampler(self, study: optuna.Study, *, space: SearchSpace) -> None:
        """Let the sampler go on from the trials of the study, and draw other points than that of another driver."""
        offset = len(study.get_trials(deepcopy=False))
        if has_other_drivers(study):
            offset += zlib.crc32(key_of(ProcessIdentity.here()).encode()) % MAX_SEED_OFFSET
        if offset:
            study.sampler = build_sampler(self.settings.sampler, space=space, seed_offset=offset)

    def _fingerprint(self, request: Request) -> Fingerprint:
        loader = self.hydra_context.config_loader
        groups = group_names(request.space, loader)
        by_choice = {tuple(sample.get(g) for g in groups): sample for sample in reversed(request.space.samples())}
        configs = [
            loader.load_sweep_config(self.config, [*request.fixed, *request.space.to_overrides(sample)])
            for sample in reversed(by_choice.values())
        ]
        return Fingerprint.of(configs, space=request.space.described(), directions=self.directions)

    def _job_config(self, request: Request) -> DictConfig:
        """Compose the config of a job, with a few values of the search space."""
        overrides = request.space.to_overrides(next(iter(request.space.samples()), {}))
        return self._composed([*request.fixed, *overrides])

    def _composed(self, overrides: Sequence[str]) -> DictConfig:
        return self.hydra_context.config_loader.load_sweep_config(self.config, [*overrides])

    def _launcher(self) -> Launcher:
        launcher = Plugins.instance().instantiate_launcher(
            config=self.config, hydra_context=self.hydra_context, task_function=self.task_function
        )
        return (
            SubmititLauncher(launcher, trials_per_job=self.settings.trials_per_job)
            if cluster_of(launcher)
            else launcher
        )

    def _results(self, folder: Path, *, study: optuna.Study, jobs: TrialJobs) -> Results:
        return Results(
            folder,
            about={
                "name": "optuna",
                "study_name": study.study_name,
                "storage": masked(self._url(folder)),
                "monitor": self.monitor,
                "direction": self.directions[0],
            },
            param_names=[*jobs.space.distributions],
            overrides_of=jobs.overrides,
            statistics=StudyStatistics(directions=study.directions),
            further=self.further,
            ship=self.ship,
        )

    def _run_trials(
        self,
        study: optuna.Study,
        *,
        jobs: TrialJobs,
        results: Results,
        heartbeat: Heartbeat,
        live_report: LiveReport,
    ) -> StopReason | None:
        total = min(self.settings.n_trials, grid_size(study.sampler, jobs.space) or self.settings.n_trials)
        keeper = CheckpointKeeper(results.folder, keep=self.settings.keep_checkpoints, directions=study.directions)
        for trial in results.sync(study):
            keeper.add(trial)
        there = results.statistics.n_finished
        record_n_trials(study, total)
        if there and there >= total:
            print(f"This search is complete: all of its {there} trials are finished.", file=sys.stderr)
        progress = Progress(
            total=total, done=there, monitor=self.monitor, further=self.further, statistics=results.statistics
        )

        def sync() -> None:
            for trial in results.sync(study):
                keeper.add(trial)
                progress.update(trial)

        def on_finished(_: FrozenTrial) -> None:
            sync()
            results.write(durable=False)
            live_report.update()

        verbose = OmegaConf.select(self.config, "verbose", default=False)  # then the terminal is Lightning's
        with runner_of_trials(
            jobs.run,
            heartbeat=heartbeat,
            jobs=jobs,
            settings=self.settings,
            n_trials=total,
            timeout=self.settings.timeout,
            on_finished=on_finished,
        ) as runner:
            with nullcontext() if verbose else progress.live(runner.running_trials):
                stop_reason = runner.run()
                sync()  # what other drivers have run in the meantime
            return stop_reason


def _check_names(settings: dict[str, Any]) -> None:
    names = [field.name for field in fields(LightsweepConf)]
    for unknown in settings.keys() - set(names):
        similar = difflib.get_close_matches(unknown, names, n=1)
        raise ConfigError(
            f"hydra.sweeper.{unknown} is {settings[unknown]}, but this sweeper has no such setting."
            f"{f' Did you mean hydra.sweeper.{similar[0]}?' if similar else ' Leave it out.'}"
        )
