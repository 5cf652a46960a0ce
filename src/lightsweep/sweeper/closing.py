"""The end of a search: confirm its best trials, refit the winner, write the report and the results, and say so."""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import optuna
from omegaconf import DictConfig
from optuna.trial import FrozenTrial

from lightsweep.errors import ConfigError
from lightsweep.interrupt import Interrupted, interruptible
from lightsweep.report import summary
from lightsweep.report.results import Results, read_refit_record, refit_record
from lightsweep.search.jobs import TrialJobs
from lightsweep.storage.storage import open_storage
from lightsweep.sweeper.comparison import Candidate, decide, record_of, rows_of
from lightsweep.sweeper.config import LightsweepConf
from lightsweep.sweeper.confirm import Confirm, ConfirmSettings, time_left
from lightsweep.sweeper.experiment import write_experiment
from lightsweep.sweeper.live_report import LiveReport
from lightsweep.sweeper.refit import refit_best
from lightsweep.trial.params import val_seed_overrides
from lightsweep.trial.stop import StopReason

NOT_CONFIRMED = (
    "The trials of the Pareto front are not trained again with other seeds: that compares means of one objective."
    " confirm=off leaves out this note."
)


@dataclass
class Closing:
    """What follows the trials.

    `started` is when the search began, by `time.monotonic`; `compose` makes the config of a job with these overrides.
    """

    study: optuna.Study
    _: KW_ONLY
    jobs: TrialJobs
    results: Results
    settings: LightsweepConf
    config: DictConfig
    url: str
    started: float
    compose: Callable[[Sequence[str]], DictConfig]
    live_report: LiveReport

    @property
    def folder(self) -> Path:
        return self.results.folder

    def run(self, stop_reason: StopReason | None) -> None:
        """Do it all. Raise `ConfigError` if no trial completed; exit with the code of what ended the search early."""
        refitted_before = read_refit_record(self.folder)
        print(summary.of_trials(self.results, stop_reason=stop_reason), flush=True)
        refitted = None
        try:
            if "refit" in self.config and not (stop_reason and stop_reason.exit_code):  # else another project's config
                self.live_report.begin_stage("the best ones are confirmed, then one is refitted")
                n_epochs = self._confirm(stop_reason)
                refitted = refit_best(
                    self.study, jobs=self.jobs, results=self.results, refitted_before=refitted_before, n_epochs=n_epochs
                )
                self._write_experiment()
        except Interrupted as interrupted:
            print(f"{interrupted}, before the best trial was refitted", file=sys.stderr)
            stop_reason = StopReason(str(interrupted), exit_code=interrupted.exit_code)
        except ConfigError:
            self._report()
            raise
        if refitted is None:
            self.results.write(**refit_record(self.results.best, None))
        with suppress(Interrupted):
            self._report()
        print(summary.of_model(self.folder, results=self.results, refit=refitted, url=self.url))
        self._exit(self.results.statistics.best, stop_reason)

    def _confirm(self, stop_reason: StopReason | None) -> int | None:
        """Confirm the best trials and choose the winner; return its epochs. None if nothing was confirmed.

        Raise `Interrupted` if a signal ended it.
        """
        options = ConfirmSettings.of(self.config)
        if options is None:
            return None
        if len(self.study.directions) > 1:
            print(NOT_CONFIRMED, file=sys.stderr)
            return None
        confirm = Confirm(
            self.study, jobs=self.jobs, options=options, settings=self.settings, storage=open_storage(self.url)
        )
        if len(confirm.trials) < 2:
            if confirm.trials:
                print("The best trial was not confirmed: there is no other one to compare it with.", file=sys.stderr)
            return None
        try:
            problem = stop_reason.reason if stop_reason else self._run_confirmation(confirm)
            candidates, failed = confirm.result()
        except ConfigError as error:  # the search has a best trial in any case
            candidates, failed, problem = [], [], str(error)
        if len(candidates) < 2:
            print(f"The best trials were not confirmed: {problem or '; '.join(failed)}", file=sys.stderr)
            return None
        return self._choose(candidates, [f"{text} ({problem})" if problem else text for text in failed])

    def _run_confirmation(self, confirm: Confirm) -> str | None:
        """Return why it ended early, if it did. Raise `Interrupted` if a signal ended it."""
        left = time_left(self.settings.timeout, since=self.started)
        is_over = f"hydra.sweeper.timeout of {self.settings.timeout} s is over"
        if left == 0:
            return is_over
        ended = confirm.run(timeout=left)
        if ended and ended.is_interrupt:
            raise Interrupted(ended.exit_code - 128)
        if ended is None:
            return None
        return ended.reason if ended.exit_code else is_over

    def _choose(self, candidates: list[Candidate], failed: list[str]) -> int:
        decision = decide(candidates, direction=self.study.direction)
        self.results.winner = self.study.get_trials(deepcopy=False)[decision.winner.number]
        self.results.confirmed = {**record_of(decision, candidates), **({"failed": failed} if failed else {})}
        monitor, n_seeds = self.results.about["monitor"], len(decision.best.values)
        print(
            summary.of_confirmation(rows_of(decision, candidates), failed, monitor=monitor, n_seeds=n_seeds), flush=True
        )
        return decision.winner.n_epochs

    def _write_experiment(self) -> None:
        best = self.results.best
        if best is not None:
            overrides = [*self.jobs.overrides(best.params), *val_seed_overrides(best.user_attrs)]
            write_experiment(self.folder, self.compose(overrides), trial=best.number)

    def _report(self) -> None:
        """Write the report. Raise `Interrupted` if a signal ends it."""
        with interruptible():
            self.live_report.finish()

    def _exit(self, best: FrozenTrial | None, stop_reason: StopReason | None) -> None:
        if best is None and not (stop_reason and stop_reason.is_interrupt):
            raise ConfigError(summary.why_nothing_completed(self.study, stop_reason=stop_reason))
        if stop_reason and stop_reason.exit_code:
            sys.exit(stop_reason.exit_code)
