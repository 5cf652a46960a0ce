"""One trial as one Hydra job: parameters out, value back."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra.core.utils import JobStatus
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher

from lightsweep.errors import ConfigError, DiskFullError
from lightsweep.failures import Kind, disk_is_full, in_one_line, kind_of
from lightsweep.launcher.launcher import ProcessesLauncher
from lightsweep.search.space import SearchSpace
from lightsweep.trial.heartbeat import heartbeat
from lightsweep.trial.identity import OWNER, ProcessIdentity
from lightsweep.trial.outcome import Outcome
from lightsweep.unofficial import error_of


class TrialFailed(Exception):  # noqa: N818  (named like Optuna's TrialPruned, its sibling)
    """A trial without a value; the message is the reason. The search goes on."""

    def __init__(self, reason: str, kind: Kind = Kind.ERROR) -> None:
        super().__init__(reason)
        self.kind = kind


class WorkerLost(TrialFailed):
    """The process that ran the trial is gone; joblib then ends those of all other trials in flight, too."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, Kind.WORKER_LOST)


class TrialInterrupted(BaseException):
    """A trial that was ended before its time, by whoever stopped the search. It waits to be run again.

    Not an `Exception`, because Optuna would tell such a trial as failed.
    """


class TrialRequeued(BaseException):
    """A trial that lost its worker and waits to be run again, in the same search."""


class TrialJobs:
    """Runs trials through a launcher; called by Optuna as its objective.

    The folder of a trial is `<sweep_dir>/<trial number>`.
    """

    def __init__(self, *, launcher: Launcher, space: SearchSpace, fixed: Sequence[str], sweep_dir: Path) -> None:
        self.launcher = launcher
        self.space = space
        self.fixed = list(fixed)
        self.sweep_dir = sweep_dir

    def __call__(self, trial: optuna.Trial) -> float:
        """The trial's value. Raises `TrialPruned`, `TrialFailed`, or `ConfigError` if the config is at fault."""
        with heartbeat(self.sweep_dir, trial.number):
            trial.set_user_attr(OWNER, ProcessIdentity.here().to_record())  # until the job's own process signs
            trial.set_user_attr("folder", str(self.sweep_dir / str(trial.number)))
            overrides = self.overrides(self.space.suggest(trial))
            return value_of(self.launch(overrides, number=trial.number), trial)

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """What a job with these parameters is started with."""
        return [*self.fixed, *self.space.to_overrides(params)]

    def launch(self, overrides: Sequence[str], *, number: int) -> Any:
        """Run one job and give back what it returned.

        Raises `TrialFailed` if the job raised and `WorkerLost` if its worker died; what Hydra says of the config
        passes through.
        """
        try:
            [job] = self.launcher.launch([list(overrides)], initial_job_idx=number)
        except CompactHydraException:
            raise
        except Exception as error:  # noqa: BLE001  (the launcher's engine broke: a killed worker, a lost node)
            self._check_disk(error)
            raise WorkerLost(f"its worker was lost: {in_one_line(error)}") from None
        if job.status == JobStatus.COMPLETED:
            return job.return_value
        raised = error_of(job).with_traceback(None)  # which would keep the model alive
        self._check_disk(raised)
        if isinstance(raised, ConfigError | CompactHydraException):
            raise raised
        raise TrialFailed(in_one_line(raised), kind_of(raised))

    def _check_disk(self, error: BaseException) -> None:
        if disk_is_full(error, self.sweep_dir):
            raise DiskFullError(self.sweep_dir) from None

    def abort(self) -> None:
        """End the running jobs now. Without it joblib's pool would keep the interpreter from exiting."""
        if isinstance(self.launcher, ProcessesLauncher):
            self.launcher.abort()
        elif type(self.launcher).__name__ == "JoblibLauncher":
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


def value_of(returned: Any, trial: optuna.Trial) -> float:
    """The value of a trial from what its job returned: an `Outcome`, or a plain number from another task function.

    Raises `TrialPruned` or `TrialFailed`, each with its reason, or `TrialInterrupted`.
    """
    value = returned
    if isinstance(returned, Outcome):
        if returned.interrupted:
            raise TrialInterrupted
        _note(trial, returned)
        if returned.failed:
            raise TrialFailed(returned.failed, Kind(returned.kind or Kind.ERROR))
        if returned.pruned:
            raise optuna.TrialPruned(returned.pruned)
        value = returned.value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TrialFailed(f"it returned {value!r}, which is not a number") from None
    if not math.isfinite(number):
        raise TrialFailed(f"it returned {number}", Kind.DIVERGED)
    return number


def _note(trial: optuna.Trial, outcome: Outcome) -> None:
    facts = {
        "best_epoch": outcome.best_epoch,
        "n_epochs": outcome.n_epochs,
        "max_epochs": outcome.max_epochs,
        "pruned_reason": outcome.pruned,
    }
    for name, fact in facts.items():
        if fact is not None:
            trial.set_user_attr(name, fact)
