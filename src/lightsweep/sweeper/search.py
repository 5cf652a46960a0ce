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

from lightsweep.direction import Direction
from lightsweep.errors import USER_ERRORS, ConfigError, DiskFullError
from lightsweep.failures import disk_is_full
from lightsweep.files import locked, shown
from lightsweep.interrupt import Interrupted, interruptible
from lightsweep.outcome import Outcome
from lightsweep.report import write_report
from lightsweep.resume import COMMAND, keep_command
from lightsweep.sweeper import summary
from lightsweep.sweeper.checkpoints import CheckpointKeeper, forget_last_checkpoints
from lightsweep.sweeper.composition import group_names
from lightsweep.sweeper.config import LightsweepConf
from lightsweep.sweeper.driver import sign_as_driver
from lightsweep.sweeper.fingerprint import Fingerprint
from lightsweep.sweeper.folder import claim_folder, give_back
from lightsweep.sweeper.fork import open_source, take_over
from lightsweep.sweeper.full_preflight import run_preflight
from lightsweep.sweeper.job_config import composing_once
from lightsweep.sweeper.jobs import TrialFailed, TrialJobs
from lightsweep.sweeper.loop import Ending, TrialLoop
from lightsweep.sweeper.password import hide_password, masked
from lightsweep.sweeper.preflight import check_search
from lightsweep.sweeper.progress import Progress
from lightsweep.sweeper.refitting import epochs_to_refit
from lightsweep.sweeper.results import TABLE, Results, Tally, read_shipped, shipped_record
from lightsweep.sweeper.search_space import Request, parse_request
from lightsweep.sweeper.signs_of_life import Watch
from lightsweep.sweeper.stopping import ask_to_stop, take_back
from lightsweep.sweeper.storage import open_storage, storage_url
from lightsweep.sweeper.study import build_sampler, grid_size, open_study, sign_study

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
        self.hydra_context = composing_once(hydra_context)
        self.task_function = task_function
        self.monitor = str(OmegaConf.select(config, "monitor", default="value"))

    def run(self, arguments: Sequence[str]) -> None:
        """Search until `n_trials` are finished, then ship the best; nothing is written before all is checked.

        Raises `ConfigError` for what the user can mend, also if no trial completed. Exits with another code than 0
        if something else than the budget ended the search.
        """
        sign_as_driver()
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
        folder, is_new = claim_folder(self.config)
        try:
            study = self._open_study(folder, request=request, sampler=sampler, pruner=pruner)
            keep_command(folder, config=self.config)
            self._search(study, request=request, folder=folder)
        except USER_ERRORS:
            if not (folder / TABLE).exists():
                give_back(folder, is_new=is_new)  # no trial has finished, and nobody else writes to a new folder
            raise
        except Interrupted:
            if not (folder / COMMAND).exists():
                give_back(folder, is_new=is_new)  # it had not begun
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
        take_back(folder)
        jobs = TrialJobs(launcher=self._launcher(), space=request.space, fixed=request.fixed, sweep_dir=folder)
        results = self._results(folder, study=study, jobs=jobs)
        shipped_before = read_shipped(folder)
        ending = self._run_trials(study, jobs=jobs, results=results)

        print(summary.of_trials(results, ending=ending), flush=True)
        shipped = None
        try:
            self._report(study, folder=folder, tally=results.tally)
            if ending is None or not ending.exit_code:
                shipped = self._ship_in_turn(study, jobs=jobs, results=results, shipped_before=shipped_before)
        except Interrupted as interrupted:
            print(f"{interrupted}, before the best model was shipped", file=sys.stderr)
            ending = Ending(str(interrupted), exit_code=interrupted.exit_code)
        if shipped is None:
            results.write(**shipped_record(results.tally.best, None))
        print(summary.of_model(folder, results=results, shipped=shipped, url=self._url(folder)))
        if results.tally.best is None and not (ending and ending.is_interrupt):
            raise ConfigError(summary.why_nothing_completed(study, ending=ending))
        if ending and ending.exit_code:
            sys.exit(ending.exit_code)

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
        if sign_study(study, fingerprint, allow_changes=self.settings.allow_changes):
            forget_last_checkpoints(folder)
        if source:
            print(take_over(source, study, space=request.space, now=fingerprint), file=sys.stderr)
            n_there = len(study.get_trials(deepcopy=False))
        if n_there:
            study.sampler = build_sampler(self.settings.sampler, space=request.space, n_trials_there=n_there)
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
            jobs=jobs,
            tally=Tally(direction=study.direction),
        )

    def _run_trials(self, study: optuna.Study, *, jobs: TrialJobs, results: Results) -> Ending | None:
        total = min(self.settings.n_trials, grid_size(study.sampler, jobs.space) or self.settings.n_trials)
        keeper = CheckpointKeeper(results.folder, keep=self.settings.keep_checkpoints, direction=study.direction)
        for trial in results.take_in(study):
            keeper.add(trial)
        there = results.tally.n_finished
        if there and there >= total:
            print(f"This search is complete: all of its {there} trials are finished.", file=sys.stderr)
        progress = Progress(total=total, done=there, monitor=self.monitor)

        def take_in() -> None:
            for trial in results.take_in(study):
                keeper.add(trial)
                progress.update(trial, results.tally)

        def on_finished(_: FrozenTrial) -> None:
            take_in()
            results.write(durable=False)

        loop = TrialLoop(
            study,
            jobs,
            n_trials=total,
            n_jobs=self.settings.n_jobs,
            timeout=self.settings.timeout,
            trial_timeout=self.settings.trial_timeout,
            max_consecutive_failures=self.settings.max_consecutive_failures,
            max_retries=self.settings.max_retries,
            watch=Watch(results.folder),
            on_finished=on_finished,
            ask_jobs_to_stop=lambda at_once: ask_to_stop(results.folder, at_once=at_once),
            abort_jobs=jobs.abort,
        )
        try:
            ending = loop.run()
            take_in()  # what other drivers have run in the meantime
            return ending
        finally:
            take_back(results.folder)
            progress.close()

    def _report(self, study: optuna.Study, *, folder: Path, tally: Tally) -> None:
        """Write the report. Raises `Interrupted` if a signal ends it."""
        facts = summary.facts(tally, monitor=self.monitor)
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
            results.take_in(study)
            best = results.tally.best
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
