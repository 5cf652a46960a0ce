"""`fork=<folder>`: a new search that begins with what an earlier one has found."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from omegaconf import OmegaConf
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightsweep.config.fingerprint import Fingerprint, differences, is_within
from lightsweep.errors import ConfigError
from lightsweep.files import shown
from lightsweep.report.results import RESULTS
from lightsweep.search.space import SearchSpace
from lightsweep.search.study import WAYS_OUT, fingerprint_of
from lightsweep.storage.storage import JOURNAL, open_storage
from lightsweep.trial.status import status_of

FORKED_FROM = "forked_from"  # the user attribute of a trial that was taken over
N_BEST = 5  # of trials that don't compare, so many are tried again first


@dataclass(frozen=True, kw_only=True)
class Source:
    """The search that is taken over."""

    folder: Path
    study: optuna.Study
    fingerprint: Fingerprint

    def name_of(self, trial: FrozenTrial) -> str:
        return f"{self.folder.absolute()}, trial {trial.number}"

    def taken_into(self, study: optuna.Study) -> set[str]:
        """The names of the trials that the study has from here: some, if a fork was interrupted and is started again.

        Raises `ConfigError` if it has trials, and none of them from here.
        """
        there = {trial.user_attrs.get(FORKED_FROM) for trial in study.get_trials(deepcopy=False)}
        taken = {self.name_of(trial) for trial in self.study.get_trials(deepcopy=False)} & there
        if there and not taken:
            raise ConfigError(
                f"fork: the study '{study.study_name}' has trials already, and none from {shown(self.folder)}. To go on"
                f" with it leave fork out. {WAYS_OUT}"
            )
        return taken


def open_source(folder: str, *, storage: str) -> Source:
    """Open the study of an earlier search, by its folder; `storage` is where this search keeps its own.

    Raises `ConfigError` if the folder holds no such search.
    """
    path = Path(folder)
    url, name = _location(path, storage=storage)
    try:
        study = optuna.load_study(study_name=name, storage=open_storage(url))
    except KeyError:
        raise ConfigError(f"fork={folder}: its study '{name}' is not in its storage any more.") from None
    fingerprint = fingerprint_of(study)
    if fingerprint is None:
        raise ConfigError(f"fork={folder}: the study '{name}' was not made by Lightsweep.")
    return Source(folder=path, study=study, fingerprint=fingerprint)


def take_over(source: Source, study: optuna.Study, *, space: SearchSpace, now: Fingerprint) -> str:
    """Copy the trials that lie in the new space and are not there yet; gives a sentence on what was done.

    If anything but the space has changed, values do not compare: then only the parameters of the best few are taken,
    to be tried first.
    """
    taken = source.taken_into(study)
    finished = [
        t for t in source.study.get_trials(deepcopy=False) if status_of(t) in ("complete", "pruned", "infeasible")
    ]
    fitting = [trial for trial in finished if _lies_in(trial, space)]
    changed = differences(source.fingerprint.strict, now.strict)
    changed_beside_space = [key for key in changed if not is_within(key, list(space.distributions))]
    where = f"fork: of {len(finished)} finished trials of {shown(source.folder)}"
    if changed_beside_space:
        best = _best_of(fitting, direction=source.study.direction)
        for trial in best:
            if source.name_of(trial) not in taken:
                study.enqueue_trial(trial.params, user_attrs={FORKED_FROM: source.name_of(trial)})
        return (
            f"{where} the parameters of the best {len(best)} are tried first; no value is taken over, because"
            f" {', '.join(changed_beside_space)} changed"
        )
    for trial in fitting:
        if source.name_of(trial) not in taken:
            study.add_trial(_copied(trial, space.distributions, source=source))
    return f"{where} {len(fitting)} were taken over; {len(finished) - len(fitting)} lie outside of the new space"


def _location(folder: Path, *, storage: str) -> tuple[str, str]:
    try:
        results: Any = OmegaConf.load(folder / RESULTS)
        url, name = str(results.storage), str(results.study_name)
    except Exception:  # noqa: BLE001  (missing, torn, or of something else)
        raise ConfigError(
            f"fork={folder}: that folder holds no {RESULTS}, so it is not the folder of a search with a finished trial."
            " Searches are in outputs/<name>/<date_time>/."
        ) from None
    if (folder / JOURNAL).is_file():  # it may have been moved together with its folder
        return str(folder / JOURNAL), name
    return (storage if "***" in url else url), name


def _lies_in(trial: FrozenTrial, space: SearchSpace) -> bool:
    if trial.params.keys() != set(space.applicable(trial.params)):
        return False
    distributions = {name: space.distributions[name] for name in trial.params}
    try:  # Optuna checks each value against its distribution
        create_trial(state=TrialState.FAIL, params=trial.params, distributions=distributions)
    except (ValueError, TypeError):
        return False
    return True


def _best_of(trials: list[FrozenTrial], *, direction: StudyDirection) -> list[FrozenTrial]:
    complete = [trial for trial in trials if status_of(trial) == "complete"]
    complete.sort(key=lambda trial: trial.value or 0.0, reverse=direction == StudyDirection.MAXIMIZE)
    return complete[:N_BEST]


def _copied(trial: FrozenTrial, distributions: Mapping[str, BaseDistribution], *, source: Source) -> FrozenTrial:
    return create_trial(
        state=TrialState(trial.state),
        value=trial.value,
        params=trial.params,
        distributions={name: distributions[name] for name in trial.params},
        intermediate_values=trial.intermediate_values,
        user_attrs={**trial.user_attrs, FORKED_FROM: source.name_of(trial)},
        constraints=trial.constraints,
    )
