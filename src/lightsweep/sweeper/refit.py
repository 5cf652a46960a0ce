"""The refit of the best trial: one more job, on the rows of training and validation."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from lightsweep.errors import ConfigError
from lightsweep.files import locked, shown
from lightsweep.interrupt import Interrupted, interruptible
from lightsweep.report.results import Results, read_refit_record, refit_record
from lightsweep.search.jobs import TrialFailed, TrialJobs
from lightsweep.trial.outcome import ALL_ROWS, Outcome, n_epochs_to_refit
from lightsweep.trial.status import reported_by

BEST = "best"
LOCK = ".shipping.lock"
METRICS = "metrics.json"  # written last, so that a folder with it is complete


def refit_best(
    study: optuna.Study,
    *,
    jobs: TrialJobs,
    results: Results,
    refitted_before: Mapping[str, Any],
    n_epochs: int | None = None,
) -> Outcome | None:
    """Refit the best trial, unless that has been done, and record it. Return None if no trial is complete.

    `n_epochs` are those to train; by default its validation values say it.

    One driver at a time refits in this folder; the next one finds what the first has done. Raises `Interrupted` if a
    signal ends the refit or the waiting, and `ConfigError` if the refit fails.
    """
    waiting = f"another search in {shown(results.folder)} refits its best trial; waiting for it"
    with interruptible(), locked(results.folder / LOCK, waiting=waiting):
        results.sync(study)
        best = results.best
        results_before = read_refit_record(results.folder) or refitted_before
        results.write()  # the refit reads the results for its model card
        refitted = None
        if best is not None:
            n_epochs = n_epochs or epochs_to_refit(best)
            refitted = _kept(best, results_before, folder=jobs.sweep_dir, n_epochs=n_epochs)
            refitted = refitted or _refit(best, jobs=jobs, n_epochs=n_epochs)
        results.write(**refit_record(best, refitted))
    return refitted


def epochs_to_refit(trial: FrozenTrial) -> int:
    """Return the number of epochs up to the last one that was about as good as the best."""
    if (refit_epochs := trial.user_attrs.get("refit_epochs")) is not None:  # its values are those of folds
        return int(refit_epochs)
    return n_epochs_to_refit(reported_by(trial), best_epoch=trial.user_attrs["best_epoch"])


def _kept(best: FrozenTrial, before: Mapping[str, Any], *, folder: Path, n_epochs: int) -> Outcome | None:
    """Return the outcome of an earlier refit of the same trial whose files are complete."""
    if before.get("shipped_trial") != best.number or not (folder / BEST / METRICS).is_file():
        return None
    return Outcome(
        n_epochs=n_epochs,
        max_epochs=n_epochs,
        test_metrics=dict(before["shipped"]),
        test_intervals={name: (low, high) for name, (low, high) in (before.get("shipped_intervals") or {}).items()},
        trained_on=before.get("trained_on") or ALL_ROWS,  # earlier versions did not say it
        refit_failed=before.get("refit_failed"),
    )


def _refit(best: FrozenTrial, *, jobs: TrialJobs, n_epochs: int) -> Outcome:
    folder = jobs.sweep_dir / BEST
    shutil.rmtree(folder, ignore_errors=True)  # files of an earlier best trial
    overrides = [f"trainer.max_epochs={n_epochs}", "refit=true", f"hydra.sweep.subdir={BEST}"]
    try:
        with interruptible():
            outcome = jobs.launch([*jobs.overrides(best.params), *overrides], number=best.number)
            while outcome.interrupted:  # a scheduler preempted its job
                outcome = jobs.launch([*jobs.overrides(best.params), *overrides], number=best.number)
    except TrialFailed as failure:
        raise _failed(str(failure)) from None
    except Interrupted:
        jobs.abort()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    assert isinstance(outcome, Outcome)
    if outcome.failed:
        raise _failed(outcome.failed)
    return outcome


def _failed(reason: str) -> ConfigError:
    return ConfigError(f"the search is done, but refitting its best trial failed: {reason}. Everything else is there.")
