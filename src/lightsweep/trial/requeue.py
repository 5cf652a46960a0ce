"""Trials whose process died: each is run again under its number, but only a few times."""

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from lightsweep.failures import Kind
from lightsweep.trial.heartbeat import HeartbeatMonitor
from lightsweep.trial.identity import OWNER, Owner, ProcessIdentity
from lightsweep.trial.status import FAIL_KIND, FAIL_REASON
from lightsweep.unofficial import set_state, trial_of

RETRIES = "retries"
OWNER_GRACE_S = 60.0  # usually milliseconds after `ask`, but a machine or a database may be slow
CLAIM_S = 0.5  # longer than two drivers need to claim the same trial


def requeue(trial: optuna.Trial) -> None:
    """Set an unfinished trial to WAITING: the next driver that asks runs it, with its number and parameters."""
    trial.set_user_attr(OWNER, None)
    set_state(trial, TrialState.WAITING)


def is_taken_over(trial: optuna.Trial | FrozenTrial) -> bool:
    """True if another driver has signed a trial of this process, whose heartbeat was silent for too long.

    A `Trial` knows only the attributes that it has set itself, so the study is asked.
    """
    if isinstance(trial, optuna.Trial):
        trial = trial.study.get_trials(deepcopy=False)[trial.number]
    owner = Owner.of(trial)
    return owner is not None and not owner.is_here()


def recover_stale_trials(
    study: optuna.Study, stale: Sequence[FrozenTrial], heartbeats: HeartbeatMonitor, *, max_retries: int
) -> list[FrozenTrial]:
    """Requeue stale trials. Fail those that were requeued `max_retries` times before, and return them."""
    failed = []
    former = {trial.number: Owner.of(trial) for trial in stale}  # a claim shows in the trial itself
    for frozen in _claimed(study, stale):
        _report_takeover(frozen.number, former[frozen.number], heartbeats)
        trial, retries = trial_of(study, frozen.number), int(frozen.user_attrs.get(RETRIES, 0))
        if retries < max_retries:
            trial.set_user_attr(RETRIES, retries + 1)
            requeue(trial)
        else:
            trial.set_user_attr(FAIL_REASON, f"its process died {retries + 1} times")
            trial.set_user_attr(FAIL_KIND, Kind.WORKER_LOST.value)
            set_state(trial, TrialState.FAIL)
            failed.append(study.get_trials(deepcopy=False)[frozen.number])
    return failed


def _claimed(study: optuna.Study, stale: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that this driver takes over. Of several drivers that try, the last to sign a trial has it."""
    here = ProcessIdentity.here()
    for trial in stale:
        with suppress(UpdateFinishedTrialError):  # its process was not gone after all
            trial_of(study, trial.number).set_user_attr(OWNER, Owner(here, here).to_record())
    if stale:
        time.sleep(CLAIM_S)
    now = study.get_trials(deepcopy=False)
    return [
        trial
        for trial in stale
        if now[trial.number].state == TrialState.RUNNING and not is_taken_over(now[trial.number])
    ]


def _report_takeover(number: int, owner: Owner | None, heartbeats: HeartbeatMonitor) -> None:
    if owner is not None and owner.driver.is_remote():
        timeout = heartbeats.timeout_s(owner.driver)
        silence = f"process {owner.driver.pid} on {owner.driver.host} sent no heartbeat for {timeout:g} s"
        print(f"trial {number} is taken over: {silence}", file=sys.stderr, flush=True)


def is_stale(trial: FrozenTrial, heartbeats: HeartbeatMonitor) -> bool:
    """True if neither the process of this running trial nor its driver is there to end it.

    What is not on this host is there as long as the heartbeat of the driver. A process without its driver requeues its
    trial itself. A trial that nobody has signed is stale after `OWNER_GRACE_S`.
    """
    owner = Owner.of(trial)
    if owner is None:
        assert trial.datetime_start is not None
        return (datetime.now() - trial.datetime_start).total_seconds() > OWNER_GRACE_S
    if not owner.process.is_remote() and owner.process.may_be_alive():
        return False
    if owner.process.is_remote() or owner.driver.is_remote():
        return heartbeats.is_silent(owner.driver)
    return not owner.driver.may_be_alive()


def waiting_message(trial: FrozenTrial, heartbeats: HeartbeatMonitor) -> str:
    """Name the process that runs the trial, and say when the trial is taken over."""
    owner = Owner.of(trial)
    if owner is None:
        return f"waiting for trial {trial.number}, which another process has just started"
    if not owner.driver.is_remote():
        return f"waiting for trial {trial.number}, which process {owner.process.pid} runs"
    return (
        f"waiting for trial {trial.number}, which process {owner.driver.pid} on {owner.driver.host} runs; it is taken"
        f" over once that process sends no heartbeat for {heartbeats.timeout_s(owner.driver):g} s"
    )
