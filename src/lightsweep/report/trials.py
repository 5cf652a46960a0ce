"""The finished trials of a study, as a figure or a table can use them."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightsweep.trial.status import status_of

STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}  # in a figure


class CannotDrawError(Exception):
    """Says in one sentence why a figure is missing."""


@dataclass(frozen=True, kw_only=True)
class FinishedTrials:
    """The finished trials of a study, as they were at one moment."""

    trials: list[FrozenTrial]
    direction: StudyDirection
    monitor: str

    @classmethod
    def of(cls, study: optuna.Study, *, monitor: str) -> "FinishedTrials":
        trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state in STATES]
        return cls(trials=trials, direction=study.direction, monitor=monitor)

    @cached_property
    def complete(self) -> list[FrozenTrial]:
        return [t for t in self.trials if t.state == TrialState.COMPLETE and math.isfinite(value_of(t))]

    @cached_property
    def best(self) -> FrozenTrial | None:
        feasible = [t for t in self.complete if all(c <= 0 for c in t.constraints.values())]
        choose = max if self.direction == StudyDirection.MAXIMIZE else min
        return choose(feasible, key=value_of, default=None)

    @cached_property
    def param_names(self) -> list[str]:
        return list(dict.fromkeys(name for trial in self.trials for name in trial.params))

    def complete_or_say_why(self) -> list[FrozenTrial]:
        if complete := self.complete:
            return complete
        raise CannotDrawError(
            "No trial has completed with a finite value." if self.trials else "No trial has finished yet."
        )

    def sample(self, trials: Sequence[FrozenTrial], limit: int) -> list[FrozenTrial]:
        """At most `limit` of the trials, evenly spread, and the best in any case."""
        if len(trials) <= limit:
            return list(trials)
        n_spread = limit - 1
        kept = {trials[i * len(trials) // n_spread].number for i in range(n_spread)}
        if self.best is not None:
            kept.add(self.best.number)
        return [trial for trial in trials if trial.number in kept]

    def drawable(self, trials: Sequence[FrozenTrial], *, log_values: bool = False) -> optuna.Study:
        """A study of these trials only, with the same numbers, in which no text can be read as markup.

        Filled through the storage, since `add_trial` refuses values that were enqueued outside of their range.
        """
        storage = optuna.storages.InMemoryStorage()
        study = optuna.create_study(storage=storage, direction=self.direction)
        study_id = storage.get_study_id_from_name(study.study_name)
        names = _short_names(self.param_names)
        chosen = {trial.number: _drawable(trial, names, log_value=log_values) for trial in trials}
        n_trials = self.trials[-1].number + 1 if self.trials else 0
        for number in range(n_trials):
            storage.create_new_trial(study_id, chosen.get(number) or create_trial(state=TrialState.WAITING))
        return study


def value_of(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _drawable(trial: FrozenTrial, names: Mapping[str, str], *, log_value: bool) -> FrozenTrial:
    drawable = copy.copy(trial)  # the study's own trial stays as it is
    drawable.params = {names[name]: _drawable_value(value) for name, value in trial.params.items()}
    drawable.distributions = {names[name]: _drawable_distribution(d) for name, d in trial.distributions.items()}
    drawable.user_attrs = {}
    if status_of(trial) == "infeasible":  # Optuna would draw it as pruned
        drawable.state = TrialState.FAIL
    if log_value:
        drawable.value = math.log10(value_of(trial))
    return drawable


def _drawable_distribution(distribution: BaseDistribution) -> BaseDistribution:
    if isinstance(distribution, CategoricalDistribution):
        return CategoricalDistribution([_drawable_value(choice) for choice in distribution.choices])
    return distribution


def _drawable_value(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else without_markup(str(value))


def without_markup(text: str) -> str:
    return escape(text, quote=False)  # plotly draws `&lt;` as `<`, but leaves `&quot;` as it is


def _short_names(names: Sequence[str]) -> dict[str, str]:
    """The last parts of each config path, as few as tell it from the others: `optimizer.lr` becomes `lr`."""
    return {name: without_markup(_short_name(name, names)) for name in names}


def _short_name(name: str, names: Sequence[str]) -> str:
    parts = name.split(".")
    suffixes = [".".join(parts[i:]) for i in reversed(range(len(parts)))]
    others = [f".{other}" for other in names if other != name]
    return next((s for s in suffixes if not any(o.endswith(f".{s}") for o in others)), name)
