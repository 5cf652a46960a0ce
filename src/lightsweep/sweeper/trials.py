"""Run the trials of a study through the jobs of the search: its own, and those that confirm the best ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import optuna
from optuna.trial import FrozenTrial

from lightsweep.search.jobs import TrialJobs
from lightsweep.search.runner import TrialRunner
from lightsweep.sweeper.config import LightsweepConf
from lightsweep.trial.heartbeat import Heartbeat, HeartbeatMonitor
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.stop import clear_stop_request, request_stop


@contextmanager
def runner_of_trials(
    run_job: Callable[[optuna.Trial], Outcome],
    *,
    heartbeat: Heartbeat,
    jobs: TrialJobs,
    settings: LightsweepConf,
    n_trials: int,
    timeout: float | None,
    on_finished: Callable[[FrozenTrial], None],
) -> Iterator[TrialRunner]:
    """Yield a runner of the trials in the study of the heartbeat. After the block other jobs can be launched again."""

    def ask_jobs_to_stop(at_once: bool) -> None:
        request_stop(jobs.sweep_dir, at_once=at_once)
        heartbeat.request_stop(at_once=at_once)
        jobs.close_queue()

    assert settings.n_jobs is not None  # the search has replaced null
    try:
        yield TrialRunner(
            heartbeat.study,
            run_job,
            n_trials=n_trials,
            n_jobs=settings.n_jobs,
            timeout=timeout,
            trial_timeout=settings.trial_timeout,
            max_consecutive_failures=settings.max_consecutive_failures,
            max_retries=settings.max_retries,
            heartbeats=HeartbeatMonitor(heartbeat.study),
            on_finished=on_finished,
            request_stop=ask_jobs_to_stop,
            abort_jobs=jobs.abort,
        )
    finally:
        clear_stop_request(jobs.sweep_dir)
        jobs.open_queue()
