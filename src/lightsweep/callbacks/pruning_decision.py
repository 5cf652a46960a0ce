"""Reports a value to a trial and asks the pruner; with `hydra.sweeper.audit` a share of the trials runs on."""

import logging

import optuna

from lightsweep.callbacks.pruning_reason import pruning_reason
from lightsweep.trial.context import audited_share, pruner_settings
from lightsweep.trial.pruner import AUDITED, is_audited
from lightsweep.trial.status import report, reported_by

log = logging.getLogger(__name__)


def report_once(trial: optuna.Trial, value: float, *, step: int) -> bool:
    """Report the value, unless an earlier run of this trial did. Return False if that one reported a later step.

    There the pruner let this step pass, and it would now judge the later one, so it is not to be asked.
    """
    reported = reported_so_far(trial)
    if step not in reported:
        report(trial, value, epoch=step)
    return all(other <= step for other in reported)


def reported_so_far(trial: optuna.Trial) -> dict[int, float]:
    """Return the values by their steps, those of earlier runs of this trial included."""
    return reported_by(trial.study.get_trials(deepcopy=False)[trial.number])


def reason_to_prune(trial: optuna.Trial, *, step: int, value: float, monitor: str, unit: str = "epoch") -> str | None:
    """Return why the trial is to be stopped after this step, or None. One that is to audit the pruner runs on.

    The study has one objective, because Optuna can't prune by several.
    """
    if AUDITED in trial.user_attrs or not trial.should_prune():
        return None
    reason = pruning_reason(trial, step=step, monitor=monitor, settings=pruner_settings(), unit=unit)
    if is_audited(trial.study.study_name, trial.number, share=audited_share()):
        trial.set_user_attr(AUDITED, {"epoch": step, "value": value, "reason": reason})
        log.info("Would be pruned, and runs on to audit the pruner: %s", reason)
        return None
    log.info("Pruned: %s", reason)
    return reason
