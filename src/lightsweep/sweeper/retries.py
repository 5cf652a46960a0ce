"""What becomes of a trial whose process ended under it: it waits to be run again, but not for ever."""

from collections.abc import Sequence
from datetime import datetime

import optuna
from optuna.trial import FrozenTrial, TrialState

from lightsweep.failures import Kind
from lightsweep.sweeper.fate import FAIL_KIND, FAIL_REASON
from lightsweep.sweeper.owner import OWNER, Owner

RETRIES = "retries"
SECONDS_TO_SIGN = 5.0  # a driver signs a trial within milliseconds after it has asked for it


def put_back(study: optuna.Study, trial_id: int) -> None:
    """Let an unfinished trial wait: whoever asks next gets it, under its number and with its parameters."""
    study._storage.set_trial_user_attr(trial_id, OWNER, None)
    study._storage.set_trial_state_values(trial_id, state=TrialState.WAITING)


def reclaim_abandoned(study: optuna.Study, running: Sequence[FrozenTrial], *, max_retries: int) -> list[FrozenTrial]:
    """Put back those of the running trials whose process is gone; give the ones that were told as failed instead.

    That is what becomes of a trial that was put back `max_retries` times before. A trial whose process is alive, or
    runs on another host, is left alone, and so for a while is one that nobody has signed.
    """
    failed = []
    for trial in filter(_is_abandoned, running):
        retries = int(trial.user_attrs.get(RETRIES, 0))
        if retries < max_retries:
            study._storage.set_trial_user_attr(trial._trial_id, RETRIES, retries + 1)
            put_back(study, trial._trial_id)
            continue
        reason = f"its process ended in the middle, {retries + 1} times"
        study._storage.set_trial_user_attr(trial._trial_id, FAIL_REASON, reason)
        study._storage.set_trial_user_attr(trial._trial_id, FAIL_KIND, Kind.WORKER_LOST.value)
        study._storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
        failed.append(study.get_trials(deepcopy=False)[trial.number])
    return failed


def _is_abandoned(trial: FrozenTrial) -> bool:
    owner = Owner.from_record(trial.user_attrs.get(OWNER))
    if owner is not None:
        return not owner.may_be_alive()
    assert trial.datetime_start is not None
    return (datetime.now() - trial.datetime_start).total_seconds() > SECONDS_TO_SIGN
