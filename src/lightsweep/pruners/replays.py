"""Replays of all pruners that the user can choose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from lightsweep.errors import ConfigError
from lightsweep.pruners.group import build_option, options
from lightsweep.pruners.replay import RecordedTrial, Replay, as_recorded, max_epochs_of, recorded_trials, replay


@dataclass(frozen=True, kw_only=True)
class Replays:
    """What was done, and what the options of the group would have done on the same trials.

    `left_out` are the options that can't be replayed, each with the reason.
    """

    recorded: Replay
    by_option: Mapping[str, Replay]
    left_out: Mapping[str, str]


def replay_options(trials: Sequence[FrozenTrial], *, direction: StudyDirection, study_name: str) -> Replays:
    """Replay each option of `hydra/sweeper/pruner` with the settings of its file."""
    recorded: list[RecordedTrial] = recorded_trials(trials)
    max_epochs = max_epochs_of(trials)
    by_option, left_out = {}, {}
    for name, path in options().items():
        try:
            pruner = build_option(path, max_epochs=max_epochs)
        except ConfigError as error:
            left_out[name] = str(error)
        else:
            by_option[name] = replay(recorded, pruner, direction=direction, study_name=study_name)
    return Replays(recorded=as_recorded(recorded, direction=direction), by_option=by_option, left_out=left_out)
