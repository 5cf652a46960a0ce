"""One trial as one Hydra job: parameters out, outcome back."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from hydra.core.utils import JobStatus
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher

from lightsweep.config.resampling import val_seed_of_trial
from lightsweep.direction import listed
from lightsweep.errors import ConfigError, DiskFullError
from lightsweep.failures import Kind, full_disk, in_one_line, kind_of
from lightsweep.launcher.submitit import SubmititLauncher
from lightsweep.search.space import SearchSpace
from lightsweep.trial.driver import owner_here
from lightsweep.trial.identity import OWNER
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.params import VAL_SEED, val_seed_overrides
from lightsweep.unofficial import error_of


class TrialFailed(Exception):  # noqa: N818  (named like Optuna's TrialPruned, its sibling)
    """A trial without a value; the message is the reason. The search goes on."""

    def __init__(self, reason: str, kind: Kind = Kind.ERROR) -> None:
        super().__init__(reason)
        self.kind = kind


class TrialJobs:
    """Runs trials through a Hydra launcher.

    The folder of a trial is `<sweep_dir>/<trial number>`. With `reshuffle` each trial gets a `data.val_seed`. A
    trial has a value for each of `n_objectives`.
    """

    def __init__(
        self,
        *,
        launcher: Launcher,
        space: SearchSpace,
        fixed: Sequence[str],
        sweep_dir: Path,
        reshuffle: bool = False,
        n_objectives: int = 1,
    ) -> None:
        self.launcher = launcher
        self.space = space
        self.fixed = list(fixed)
        self.sweep_dir = sweep_dir
        self.reshuffle = reshuffle
        self.n_objectives = n_objectives

    def run(self, trial: optuna.Trial) -> Outcome:
        """Draw the trial's parameters, run its job, and return the outcome; a failure is an outcome, too.

        Raises `ConfigError` if the config is at fault, and `DiskFullError`.
        """
        self.sign(trial, folder=self.sweep_dir / str(trial.number))
        overrides = self.overrides(self.space.suggest(trial))
        if self.reshuffle:
            trial.set_user_attr(VAL_SEED, val_seed_of_trial(trial.number))  # a fork keeps it under another number
            overrides += val_seed_overrides(trial.user_attrs)
        return self.outcome(overrides, number=trial.number)

    def sign(self, trial: optuna.Trial, *, folder: Path) -> None:
        """Record who runs the trial and where, first of all: a trial without an owner is soon taken for stale."""
        trial.set_user_attr(OWNER, owner_here().to_record())  # the job's own process replaces it
        trial.set_user_attr("folder", str(folder))

    def outcome(self, overrides: Sequence[str], *, number: int) -> Outcome:
        """Run one job and return its outcome; a failure is one, too."""
        try:
            return outcome_of(self.launch(overrides, number=number), n_objectives=self.n_objectives)
        except TrialFailed as failure:
            return Outcome.failure(str(failure), failure.kind)

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Return the overrides of a job with these parameters."""
        return [*self.fixed, *self.space.to_overrides(params)]

    def launch(self, overrides: Sequence[str], *, number: int) -> Any:
        """Run one job and return what its task function returned.

        Raises `TrialFailed` if the job raised or its worker died. Errors about the config pass through.
        """
        try:
            [job] = self.launcher.launch([list(overrides)], initial_job_idx=number)
        except (CompactHydraException, ConfigError):
            raise
        except Exception as error:  # noqa: BLE001  (each launcher has its own: a killed worker, a lost node)
            self._check_disk(error)
            raise TrialFailed(f"its worker was lost: {in_one_line(error)}", Kind.WORKER_LOST) from None
        if job.status == JobStatus.COMPLETED:
            return job.return_value
        raised = error_of(job).with_traceback(None)  # the traceback would keep the model alive
        self._check_disk(raised)
        if isinstance(raised, ConfigError | CompactHydraException):
            raise raised
        raise TrialFailed(in_one_line(raised), kind_of(raised))

    def _check_disk(self, error: BaseException) -> None:
        if path := full_disk(error, self.sweep_dir):
            raise DiskFullError(path) from None

    def close_queue(self) -> None:
        """Cancel the jobs that a scheduler has not begun, and submit no other. Signal handlers may call it."""
        if isinstance(self.launcher, SubmititLauncher):
            self.launcher.close_queue()

    def open_queue(self) -> None:
        if isinstance(self.launcher, SubmititLauncher):
            self.launcher.open_queue()

    def abort(self) -> None:
        """Kill the running jobs. Joblib's pool would otherwise keep the interpreter from exiting."""
        abort = getattr(self.launcher, "abort", None)
        if abort is not None:
            abort()
        elif _is(self.launcher, "JoblibLauncher"):
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


def session_of(launcher: Launcher) -> AbstractContextManager[Launcher]:
    """Return what surrounds all jobs of a search, and yields the launcher that runs them.

    That is a session of Ray for Ray's launcher, the end of the jobs that wait for a next trial for submitit's, and
    nothing for another one.
    """
    if isinstance(launcher, SubmititLauncher):
        return closing(launcher)
    if not _is(launcher, "RayLauncher"):
        return nullcontext(launcher)
    from lightsweep.launcher.ray import ray_session

    return ray_session(launcher)


def _is(launcher: Launcher, name: str) -> bool:
    """Compare by name, because not every launcher is installed."""
    return type(launcher).__name__ == name


def outcome_of(returned: Any, *, n_objectives: int = 1) -> Outcome:
    """Return the outcome of a job from what its task function returned: an `Outcome`, a number, or one per objective.

    A value that is not a finite number is a failure, and so is another number of values.
    """
    outcome = returned if isinstance(returned, Outcome) else _outcome_of_values(returned, n_objectives=n_objectives)
    if outcome.interrupted or outcome.failed or outcome.pruned:
        return outcome
    values = [outcome.value, *outcome.further.values()]
    if len(values) != n_objectives:
        reason = f"the number of its values is {len(values)}, not {n_objectives}: each objective needs one"
        return replace(outcome, failed=reason, kind=Kind.ERROR.value)
    try:
        numbers = [float(value) for value in values]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        shown = values[0] if n_objectives == 1 else values
        return replace(outcome, failed=f"it returned {shown!r}, which is not a number", kind=Kind.ERROR.value)
    if not all(map(math.isfinite, numbers)):
        reason = f"it returned {', '.join(map(str, numbers))}"
        return replace(outcome, failed=reason, kind=Kind.DIVERGED.value)
    return replace(outcome, value=numbers[0], further=dict(zip(outcome.further, numbers[1:], strict=True)))


def _outcome_of_values(returned: Any, *, n_objectives: int) -> Outcome:
    """Return the outcome of a task function that does not name its values."""
    values = listed(returned) if n_objectives > 1 else [returned]
    value, *further = values or [None]
    return Outcome(value=value, further={f"value {i}": other for i, other in enumerate(further, start=2)})
