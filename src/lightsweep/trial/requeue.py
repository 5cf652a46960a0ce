"""What becomes of a trial whose process ended under it: it waits to be run again, but not for ever."""

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
SECONDS_TO_SIGN = 60.0  # usually milliseconds after it was asked for, but a machine or a database may be slow


def requeue(trial: optuna.Trial) -> None:
    """Let an unfinished trial wait: whoever asks next gets it, under its number and with its parameters."""
    trial.set_user_attr(OWNER, None)
    set_state(trial, TrialState.WAITING)


def recover_stale_trials(study: optuna.Study, stale: Sequence[FrozenTrial], *, max_retries: int) -> list[FrozenTrial]:
    """Put the abandoned trials back, and give those that were told as failed instead.

    That is what becomes of a trial that was put back `max_retries` times before.
    """
    failed = []
    for frozen in stale:
        owner = ProcessIdentity.from_record(frozen.user_attrs.get(OWNER))
        if owner is not None and owner.is_elsewhere():
            silence = f"process {owner.pid} on {owner.host} gave no sign of life for {HEARTBEAT_TIMEOUT_S:g} s"
            print(f"trial {frozen.number} is taken over: {silence}", file=sys.stderr, flush=True)
        trial = trial_of(study, frozen.number)
        retries = int(frozen.user_attrs.get(RETRIES, 0))
        if retries < max_retries:
            trial.set_user_attr(RETRIES, retries + 1)
            requeue(trial)
            continue
        trial.set_user_attr(FAIL_REASON, f"its process ended in the middle, {retries + 1} times")
        trial.set_user_attr(FAIL_KIND, Kind.WORKER_LOST.value)
        set_state(trial, TrialState.FAIL)
        failed.append(study.get_trials(deepcopy=False)[frozen.number])
    return failed


def is_stale(trial: FrozenTrial, watch: HeartbeatMonitor) -> bool:
    """Whether the process of this running trial is gone; on another host, whether it has been silent for long.

    A trial that nobody has signed is left alone for a while.
    """
    owner = ProcessIdentity.from_record(trial.user_attrs.get(OWNER))
    if owner is not None:
        return watch.is_silent(trial.number) if owner.is_elsewhere() else not owner.may_be_alive()
    assert trial.datetime_start is not None
    return (datetime.now() - trial.datetime_start).total_seconds() > SECONDS_TO_SIGN


def waiting_message(trial: FrozenTrial, watch: HeartbeatMonitor) -> str:
    """Who runs the trial, and what becomes of it if they are gone."""
    owner = ProcessIdentity.from_record(trial.user_attrs.get(OWNER))
    if owner is None:
        return f"waiting for trial {trial.number}, which somebody has just begun"
    if not owner.is_elsewhere():
        return f"waiting for trial {trial.number}, which process {owner.pid} runs"
    text = f"waiting for trial {trial.number}, which process {owner.pid} on {owner.host} runs"
    if watch.sees(trial.number):
        return f"{text}; it is taken over after {HEARTBEAT_TIMEOUT_S:g} s without a sign of life"
    path = shlex.quote(shown(heartbeat_file(watch.folder, trial.number)))
    return (
        f"{text}; no sign of life of it can be seen here. If you know that it is gone, say so: touch {path};"
        f" {HEARTBEAT_TIMEOUT_S:g} s later the trial is taken over"
    )
