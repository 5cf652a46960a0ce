"""`fork=<folder>`: start a new search with the trials of an earlier one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightsweep.config.fingerprint import Fingerprint, differences, is_within
from lightsweep.errors import ConfigError
from lightsweep.files import shown
from lightsweep.pareto import ParetoFront
from lightsweep.report.results import RESULTS, read_location
from lightsweep.search.space import SearchSpace
from lightsweep.search.study import WAYS_OUT, fingerprint_of
from lightsweep.storage.storage import open_storage
from lightsweep.trial.status import status_of, value_of

FORKED_FROM = "forked_from"  # the user attribute that names the original of a copied trial
N_BEST = 5  # so many trials are enqueued if their values can't be compared


@dataclass(frozen=True, kw_only=True)
class Source:
    """The earlier search."""

    folder: Path
    study: optuna.Study
    fingerprint: Fingerprint

    def name_of(self, trial: FrozenTrial) -> str:
        return f"{self.folder.absolute()}, trial {trial.number}"

    def taken_into(self, study: optuna.Study) -> set[str]:
        """Return the names of this search's trials that `study` has already, because a fork was interrupted.

        Raises `ConfigError` if `study` has trials, but none from this search.
        """
        existing = {trial.user_attrs.get(FORKED_FROM) for trial in study.get_trials(deepcopy=False)}
        taken = {self.name_of(trial) for trial in self.study.get_trials(deepcopy=False)} & existing
        if existing and not taken:
            raise ConfigError(
                f"fork: the study '{study.study_name}' already has trials, but none from {shown(self.folder)}."
                f" To resume that study, leave out fork. {WAYS_OUT}"
            )
        return taken


def open_source(folder: str, *, storage: str, key: str = "fork") -> Source:
    """Open the study of the search in `folder`, which the setting `key` names; `storage` is the URL of the new search.

    Raises `ConfigError` if the folder holds no search of Lightsweep.
    """
    path = Path(folder)
    url, name = _location(path, storage=storage, key=key)
    try:
        study = optuna.load_study(study_name=name, storage=open_storage(url))
    except KeyError:
        raise ConfigError(f"{key}={folder}: its storage no longer has the study '{name}'.") from None
    fingerprint = fingerprint_of(study)
    if fingerprint is None:
        raise ConfigError(f"{key}={folder}: the study '{name}' was not made by Lightsweep.")
    return Source(folder=path, study=study, fingerprint=fingerprint)


def _location(folder: Path, *, storage: str, key: str) -> tuple[str, str]:
    """Return the storage URL and the name of the study."""
    location = read_location(folder)
    if location is None:
        raise ConfigError(
            f"{key}={folder}: that folder holds no {RESULTS}, so it is not the folder of a search with a finished"
            " trial. Searches are in outputs/<name>/<date_time>/."
        )
    url, name = location
    return (storage if "***" in url else url), name  # the password is masked in the file


def take_over(source: Source, study: optuna.Study, *, space: SearchSpace, now: Fingerprint) -> str:
    """Copy the trials that lie in the new space and are not in `study` yet. Returns a sentence for the user.

    If more than the space has changed, values can't be compared: then the parameters of the best trials are
    enqueued instead.
    """
    taken = source.taken_into(study)
    trials = source.study.get_trials(deepcopy=False)
    finished = [trial for trial in trials if status_of(trial) in ("complete", "pruned", "infeasible")]
    fitting = [trial for trial in finished if lies_in(trial, space)]
    changed = differences(source.fingerprint.strict, now.strict)
    changed_settings = [key for key in changed if not is_within(key, list(space.distributions))]
    prefix = f"fork: of {len(finished)} finished trials of {shown(source.folder)}"
    if changed_settings:
        best = best_of(fitting, directions=source.study.directions)
        for trial in best:
            if source.name_of(trial) not in taken:
                study.enqueue_trial(trial.params, user_attrs={FORKED_FROM: source.name_of(trial)})
        return (
            f"{prefix}, the parameters of the best {len(best)} are tried first; no values are taken over, because"
            f" {', '.join(changed_settings)} changed"
        )
    for trial in fitting:
        if source.name_of(trial) not in taken:
            study.add_trial(_copy_of(trial, space.distributions, source=source))
    return f"{prefix}, {len(fitting)} were taken over; {len(finished) - len(fitting)} lie outside the new space"


def lies_in(trial: FrozenTrial, space: SearchSpace) -> bool:
    if trial.params.keys() != set(space.applicable(trial.params)):
        return False
    return all(space.contains(name, value) for name, value in trial.params.items())


def best_of(trials: list[FrozenTrial], *, directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """Return the `N_BEST` best trials, of several objectives all that are on the Pareto front."""
    complete = [trial for trial in trials if status_of(trial) == "complete"]
    if len(directions) > 1:
        return ParetoFront.of(complete, directions).trials
    complete.sort(key=value_of, reverse=directions[0] == StudyDirection.MAXIMIZE)
    return complete[:N_BEST]


def _copy_of(trial: FrozenTrial, distributions: Mapping[str, BaseDistribution], *, source: Source) -> FrozenTrial:
    return create_trial(
        state=TrialState(trial.state),
        values=trial.values,
        params=trial.params,
        distributions={name: distributions[name] for name in trial.params},
        intermediate_values=trial.intermediate_values,
        user_attrs={**trial.user_attrs, FORKED_FROM: source.name_of(trial)},
        constraints=trial.constraints,
    )
