"""The search as a whole: check, open, run the trials, report, ship the best."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import optuna
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from lightsweep.config.command_line import COMMAND, save_command
from lightsweep.config.fingerprint import Fingerprint
from lightsweep.direction import Direction
from lightsweep.errors import USER_ERRORS, ConfigError, DiskFullError
from lightsweep.failures import disk_is_full
from lightsweep.files import locked, shown
from lightsweep.interrupt import Interrupted, interruptible
from lightsweep.preflight.checks import check_search
from lightsweep.preflight.preflight import run_preflight
from lightsweep.report import summary
from lightsweep.report.page import write_report
from lightsweep.report.progress import Progress
from lightsweep.report.results import TABLE, Results, StudyStatistics, read_shipped, shipped_record
from lightsweep.search.checkpoints import CheckpointKeeper, delete_last_checkpoints
from lightsweep.search.config_loader import with_cached_composition
from lightsweep.search.folder import release_folder, reserve_folder
from lightsweep.search.fork import open_source, take_over
from lightsweep.search.jobs import TrialFailed, TrialJobs
from lightsweep.search.request import Request, parse_request
from lightsweep.search.runner import TrialRunner
from lightsweep.search.space import group_names
from lightsweep.search.study import build_sampler, grid_size, open_study, record_fingerprint
from lightsweep.storage.password import hide_password, masked
from lightsweep.storage.storage import open_storage, storage_url
from lightsweep.sweeper.config import LightsweepConf
from lightsweep.sweeper.refit import epochs_to_refit
from lightsweep.trial.driver import register_driver
from lightsweep.trial.heartbeat import HeartbeatMonitor
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.stop import StopReason, clear_stop_request, request_stop

BEST = "best"
SHIPPING = ".shipping.lock"
METRICS = "metrics.json"
REPORT = "report.html"


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
        self.settings = LightsweepConf(**settings)
        self.direction = cast(Direction, self.settings.direction)  # checked before anything is opened
        self.config = config
        self.hydra_context = with_cached_composition(hydra_context)
        self.task_function = task_function
        self.monitor = str(OmegaConf.select(config, "monitor", default="value"))

    def run(self, arguments: Sequence[str]) -> None:
        """Search until `n_trials` are finished, then ship the best; nothing is written before all is checked.

        Raises `ConfigError` for what the user can mend, also if no trial completed. Exits with another code than 0
        if something else than the budget ended the search.
        """
        register_driver()
        hide_password(self.config, self.settings.storage)
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # Progress says it, and shorter
        request = self._request(arguments)
        sampler, pruner = check_search(
            self.settings,
            request,
            config_loader=self.hydra_context.config_loader,
            config=self.config,
            url=self._url(Path(self.config.hydra.sweep.dir)),
            fingerprint=lambda: self._fingerprint(request),
        )
        if self.settings.preflight:
            self._preflight(request, sampler=sampler)
            return
        folder, is_new = reserve_folder(self.config)
        try:
            study = self._open_study(folder, request=request, sampler=sampler, pruner=pruner)
            save_command(folder, config=self.config)
            self._search(study, request=request, folder=folder)
        except USER_ERRORS:
            if not (folder / TABLE).exists():
                release_folder(folder, is_new=is_new)  # no trial has finished, and nobody else writes to a new folder
            raise
        except Interrupted:
            if not (folder / COMMAND).exists():
                release_folder(folder, is_new=is_new)  # it had not begun
            raise
        except Exception as error:
            if disk_is_full(error, folder):  # Optuna's journal could not be written, in whatever Optuna made of it
                raise DiskFullError(folder) from None
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

    def _search(self, study: optuna.Study, *, request: Request, folder: Path) -> None:
        clear_stop_request(folder)
        jobs = TrialJobs(launcher=self._launcher(), space=request.space, fixed=request.fixed, sweep_dir=folder)
        results = self._results(folder, study=study, jobs=jobs)
        shipped_before = read_shipped(folder)
        stop_reason = self._run_trials(study, jobs=jobs, results=results)

        print(summary.of_trials(results, stop_reason=stop_reason), flush=True)
        shipped = None
        try:
            self._report(study, folder=folder, statistics=results.statistics)
            if stop_reason is None or not stop_reason.exit_code:
                shipped = self._ship_in_turn(study, jobs=jobs, results=results, shipped_before=shipped_before)
        except Interrupted as interrupted:
            print(f"{interrupted}, before the best model was shipped", file=sys.stderr)
            stop_reason = StopReason(str(interrupted), exit_code=interrupted.exit_code)
        if shipped is None:
            results.write(**shipped_record(results.statistics.best, None))
        print(summary.of_model(folder, results=results, shipped=shipped, url=self._url(folder)))
        if results.statistics.best is None and not (stop_reason and stop_reason.is_interrupt):
            raise ConfigError(summary.why_nothing_completed(study, stop_reason=stop_reason))
        if stop_reason and stop_reason.exit_code:
            sys.exit(stop_reason.exit_code)

    def _request(self, arguments: Sequence[str]) -> Request:
        request = parse_request(self.settings.params, arguments, when=self.settings.when, config=self.config)
        direction = self.settings.direction
        if direction != OmegaConf.select(self.config, "direction", default=direction):
            # The checkpoints of the trials must follow the study.
            request.fixed.append(f"direction={direction}")
        if request.fixed_by_user and request.space.distributions:
            print(
                f"warning: fixed on the command line and so not searched: {', '.join(request.fixed_by_user)};"
                f" searched are {', '.join(request.space.distributions)}.",
                file=sys.stderr,
            )
        return request

    def _url(self, folder: Path) -> str:
        return storage_url(self.settings.storage, sweep_dir=str(folder), cwd=self.config.hydra.runtime.cwd)

    def _open_study(self, folder: Path, *, request: Request, sampler: BaseSampler, pruner: BasePruner) -> optuna.Study:
        source = self.settings.fork and open_source(self.settings.fork, storage=self._url(folder))
        study = open_study(
            name=self.settings.study_name,
            storage=open_storage(self._url(folder)),
            direction=self.direction,
            sampler=sampler,
            pruner=pruner,
        )
        fingerprint = self._fingerprint(request)
        n_there = len(study.get_trials(deepcopy=False))
        if source:
            source.taken_into(study)  # refuses what is another search's before it is signed
        if record_fingerprint(study, fingerprint, allow_changes=self.settings.allow_changes):
            delete_last_checkpoints(folder)
        if source:
            print(take_over(source, study, space=request.space, now=fingerprint), file=sys.stderr)
            n_there = len(study.get_trials(deepcopy=False))
        if n_there:
            study.sampler = build_sampler(self.settings.sampler, space=request.space, n_existing_trials=n_there)
        return study

    def _fingerprint(self, request: Request) -> Fingerprint:
        loader = self.hydra_context.config_loader
        groups = group_names(request.space, loader)
        by_choice = {tuple(sample.get(g) for g in groups): sample for sample in reversed(request.space.samples())}
        configs = [
            loader.load_sweep_config(self.config, [*request.fixed, *request.space.to_overrides(sample)])
            for sample in reversed(by_choice.values())
        ]
        return Fingerprint.of(configs, space=request.space.described(), direction=self.direction)

    def _launcher(self) -> Launcher:
        return Plugins.instance().instantiate_launcher(
            config=self.config, hydra_context=self.hydra_context, task_function=self.task_function
        )

    def _results(self, folder: Path, *, study: optuna.Study, jobs: TrialJobs) -> Results:
        return Results(
            folder,
            about={
                "name": "optuna",
                "study_name": study.study_name,
                "storage": masked(self._url(folder)),
                "monitor": self.monitor,
                "direction": self.settings.direction,
            },
            param_names=[*jobs.space.distributions],
            overrides_of=jobs.overrides,
            statistics=StudyStatistics(direction=study.direction),
        )

    def _run_trials(self, study: optuna.Study, *, jobs: TrialJobs, results: Results) -> StopReason | None:
        total = min(self.settings.n_trials, grid_size(study.sampler, jobs.space) or self.settings.n_trials)
        keeper = CheckpointKeeper(results.folder, keep=self.settings.keep_checkpoints, direction=study.direction)
        for trial in results.sync(study):
            keeper.add(trial)
        there = results.statistics.n_finished
        if there and there >= total:
            print(f"This search is complete: all of its {there} trials are finished.", file=sys.stderr)
        progress = Progress(total=total, done=there, monitor=self.monitor)

        def sync() -> None:
            for trial in results.sync(study):
                keeper.add(trial)
                progress.update(trial, results.statistics)

        def on_finished(_: FrozenTrial) -> None:
            sync()
            results.write(durable=False)

        loop = TrialRunner(
            study,
            jobs,
            n_trials=total,
            n_jobs=self.settings.n_jobs,
            timeout=self.settings.timeout,
            trial_timeout=self.settings.trial_timeout,
            max_consecutive_failures=self.settings.max_consecutive_failures,
            max_retries=self.settings.max_retries,
            watch=HeartbeatMonitor(results.folder),
            on_finished=on_finished,
            request_stop=lambda at_once: request_stop(results.folder, at_once=at_once),
            abort_jobs=jobs.abort,
        )
        try:
            stop_reason = loop.run()
            sync()  # what other drivers have run in the meantime
            return stop_reason
        finally:
            clear_stop_request(results.folder)
            progress.close()

    def _report(self, study: optuna.Study, *, folder: Path, statistics: StudyStatistics) -> None:
        """Write the report. Raises `Interrupted` if a signal ends it."""
        facts = summary.facts(statistics, monitor=self.monitor)
        with interruptible():
            write_report(study, folder / REPORT, title=study.study_name, monitor=self.monitor, facts=facts)

    def _ship_in_turn(
        self, study: optuna.Study, *, jobs: TrialJobs, results: Results, shipped_before: Mapping[str, Any]
    ) -> Outcome | None:
        """Ship while no other driver does so in this folder: the later one finds what the first has shipped.

        Raises `Interrupted` if a signal ends the refit or the waiting.
        """
        waiting = f"another search in {shown(results.folder)} ships its best model; waiting for it"
        with interruptible(), locked(results.folder / SHIPPING, waiting=waiting):
            results.sync(study)
            best = results.statistics.best
            shipped_before = read_shipped(results.folder) or shipped_before
            results.write()  # from which the refit learns of the search
            shipped = self._ship(jobs, best=best, shipped_before=shipped_before)
            results.write(**shipped_record(best, shipped))
        return shipped

    def _ship(self, jobs: TrialJobs, *, best: FrozenTrial | None, shipped_before: Mapping[str, Any]) -> Outcome | None:
        """Refit the best hyperparameters in one more job, for as many epochs as served the trial.

        None if there is nothing to ship, or if the config is another project's and knows no `refit`. Raises
        `Interrupted`, and leaves no half of a model, if a signal ends the refit.
        """
        if best is None or "refit" not in self.config:
            return None
        n_epochs = epochs_to_refit(best)
        if shipped_before.get("shipped_trial") == best.number and (jobs.sweep_dir / BEST / METRICS).is_file():
            outcome = Outcome(monitor=self.monitor, value=None, best_epoch=None, n_epochs=n_epochs, max_epochs=n_epochs)
            return replace(outcome, test_metrics=dict(shipped_before["shipped"]))
        shutil.rmtree(jobs.sweep_dir / BEST, ignore_errors=True)  # half of it could be of a former best
        overrides = [
            f"trainer.max_epochs={n_epochs}",
            "refit=true",
            f"hydra.sweep.subdir={BEST}",
        ]
        try:
            with interruptible():
                outcome = jobs.launch([*jobs.overrides(best.params), *overrides], number=best.number)
        except TrialFailed as failure:
            raise ConfigError(
                f"the search is done, but refitting its best trial failed: {failure}. Everything else is there."
            ) from None
        except Interrupted:
            jobs.abort()
            shutil.rmtree(jobs.sweep_dir / BEST, ignore_errors=True)
            raise
        assert isinstance(outcome, Outcome)
        if outcome.failed:
            raise ConfigError(
                f"the search is done, but refitting its best trial failed: {outcome.failed}. Everything else is there."
            )
        return outcome
