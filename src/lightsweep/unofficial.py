"""What a search needs and Optuna and Hydra give no public way to do. Nothing else in this package uses their privates.

Each function says why, and names the upstream issue that asks for a public way.
"""

from typing import Any

import optuna
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra_plugins.hydra_optuna_sweeper import _impl  # noqa: PLC2701  (see `distribution_of`)
from optuna.trial import TrialState


def trial_of(study: optuna.Study, number: int) -> optuna.Trial:
    """Return a trial of the study as the process that asked for it has it: it can report, and be pruned."""
    # A job runs in another process than `study.ask`, and the public getters give only a frozen copy.
    # https://github.com/optuna/optuna/issues/2987 asks for `study.get_trial(number) -> optuna.Trial`.
    return optuna.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)  # noqa: SLF001


def set_state(trial: optuna.Trial, state: TrialState) -> None:
    """Set the state of a running trial: WAITING to run it again under its number, or FAIL."""
    # Optuna's retry callbacks enqueue a copy under another number, and need an RDB storage. `study.tell` can't tell
    # WAITING, and of a grid's last trial it raises outside of `optimize`.
    # https://github.com/optuna/optuna/issues/685, where the maintainers plan `study.set_trial_state(trial, state)`.
    trial.storage.set_trial_state_values(trial._trial_id, state=state)  # noqa: SLF001


def error_of(job: JobReturn) -> BaseException:
    """Return what a failed job raised."""
    # The public `return_value` raises it again, after it has printed the overrides to stderr.
    # https://github.com/hydra-ecosystem/hydra/issues/1377 asks for an `exception()` beside the result.
    error: BaseException = job._return_value  # noqa: SLF001
    return error


def distribution_of(override: Override) -> Any:
    """Return Optuna's distribution for a sweep of Hydra's override grammar, as hydra-optuna-sweeper reads it.

    Raises `ValueError`, `AssertionError` or `NotImplementedError` if there is none.
    """
    # The public `OptunaSweeper` parses and runs the whole search in one call, without a pruner and in batches.
    # https://github.com/hydra-ecosystem/hydra/issues/1954 and /3091 ask for these; there is no way to have the parser.
    return _impl.create_optuna_distribution_from_override(override)
