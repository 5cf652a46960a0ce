"""Trials whose process died: each is run again under its number, but only a few times."""

import shlex
import sys
from collections.abc import Sequence
from datetime import datetime

import optuna
from optuna.trial import FrozenTrial, TrialState

from lightsweep.failures import Kind
from lightsweep.files import shown
from lightsweep.trial.heartbeat import HEARTBEAT_TIMEOUT_S, HeartbeatMonitor, heartbeat_file
from lightsweep.trial.identity import OWNER, ProcessIdentity
from lightsweep.trial.status import FAIL_KIND, FAIL_REASON
from lightsweep.unofficial import set_state, trial_of

RETRIES = "retries"
OWNER_GRACE_S = 60.0  # usually milliseconds after `ask`, but a machine or a database may be slow


def requeue(trial: optuna.Trial) -> None:
    """Set an unfinished trial to WAITING: the next driver that asks runs it, with its number and parameters."""
    trial.set_user_attr(OWNER, None)
    set_state(trial, TrialState.WAITING)


def recover_stale_trials(study: optuna.Study, stale: Sequence[FrozenTrial], *, max_retries: int) -> list[FrozenTrial]:
    """Requeue stale trials. Fail those that were requeued `max_retries` times before, and return them."""
    failed = []
    for frozen in stale:
        _report_takeover(frozen)
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


def _report_takeover(trial: FrozenTrial) -> None:
    owner = ProcessIdentity.from_record(trial.user_attrs.get(OWNER))
    if owner is not None and owner.is_remote():
        silence = f"process {owner.pid} on {owner.host} sent no heartbeat for {HEARTBEAT_TIMEOUT_S:g} s"
        print(f"trial {trial.number} is taken over: {silence}", file=sys.stderr, flush=True)


def is_stale(trial: FrozenTrial, heartbeats: HeartbeatMonitor) -> bool:
    """True if the process of this running trial is gone, or on another host if its heartbeat has stopped.

    A trial without a record of its process is stale after `OWNER_GRACE_S`.
    """
    owner = ProcessIdentity.from_record(trial.user_attrs.get(OWNER))
    if owner is not None:
        return heartbeats.is_silent(trial.number) if owner.is_remote() else not owner.may_be_alive()
    assert trial.datetime_start is not None
    return (datetime.now() - trial.datetime_start).total_seconds() > OWNER_GRACE_S


def waiting_message(trial: FrozenTrial, heartbeats: HeartbeatMonitor) -> str:
    """Name the process that runs the trial, and say when the trial is taken over."""
    owner = ProcessIdentity.from_record(trial.user_attrs.get(OWNER))
    if owner is None:
        return f"waiting for trial {trial.number}, which another process has just started"
    if not owner.is_remote():
        return f"waiting for trial {trial.number}, which process {owner.pid} runs"
    text = f"waiting for trial {trial.number}, which process {owner.pid} on {owner.host} runs"
    if heartbeats.has_heartbeat(trial.number):
        return f"{text}; it is taken over after {HEARTBEAT_TIMEOUT_S:g} s without a heartbeat"
    path = shlex.quote(shown(heartbeat_file(heartbeats.folder, trial.number)))
    return (
        f"{text}; its heartbeat file is missing. If that process is gone, run: touch {path};"
        f" {HEARTBEAT_TIMEOUT_S:g} s later the trial is taken over"
    )
