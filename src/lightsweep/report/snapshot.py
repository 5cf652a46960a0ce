"""The finished trials of a study at one moment, and copies of them that are safe to draw."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from html import escape
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightsweep.direction import BEST_OF_FIRST
from lightsweep.pareto import ParetoFront, further_objectives, rule_of
from lightsweep.trial.status import is_feasible, n_folds_of, reported_by, status_of

STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class NothingToShowError(Exception):
    """The reason why a section of the report is empty, as a sentence."""


@dataclass(frozen=True, kw_only=True)
class StudySnapshot:
    """`monitor` is the first objective, which all values are of; `further` are the names of the others.

    `ship` is the rule that chooses one trial of the Pareto front, and `step` what the steps of reported values are.
    """

    trials: list[FrozenTrial]
    directions: Sequence[StudyDirection]
    monitor: str
    step: str
    study_name: str
    further: Sequence[str] = ()
    ship: str = BEST_OF_FIRST

    @classmethod
    def of(cls, study: optuna.Study, *, monitor: str, step: str = "epoch") -> "StudySnapshot":
        trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state in STATES]
        if any(n_folds_of(trial) for trial in trials):
            step = "fold"
        return cls(
            trials=trials,
            directions=study.directions,
            monitor=monitor,
            step=step,
            study_name=study.study_name,
            further=further_objectives(study),
            ship=rule_of(study),
        )

    @property
    def direction(self) -> StudyDirection:
        return self.directions[0]

    @property
    def objectives(self) -> list[str]:
        return [self.monitor, *self.further]

    @cached_property
    def complete(self) -> list[FrozenTrial]:
        return [t for t in self.trials if t.state == TrialState.COMPLETE and all(map(math.isfinite, t.values))]

    @cached_property
    def front(self) -> ParetoFront:
        """The Pareto front of the feasible trials."""
        return ParetoFront.of(filter(is_feasible, self.complete), self.directions)

    @cached_property
    def best(self) -> FrozenTrial | None:
        """The trial with the best value; of several objectives the one that the rule `ship` chooses."""
        return self.front.chosen(self.ship)

    @property
    def maximizes(self) -> bool:
        return self.direction == StudyDirection.MAXIMIZE

    @cached_property
    def param_names(self) -> list[str]:
        return list(dict.fromkeys(name for trial in self.trials for name in trial.params))

    def short_name(self, name: str) -> str:
        return _short_name(name, self.param_names)

    @cached_property
    def short_names(self) -> dict[str, str]:
        """The names of the hyperparameters as plotly may show them, by their full names."""
        return {name: escape_markup(self.short_name(name)) for name in self.param_names}

    @property
    def target_name(self) -> str:
        """The monitored metric as plotly may show it."""
        return escape_markup(self.monitor)

    def require_trials(self) -> list[FrozenTrial]:
        if not self.trials:
            raise NothingToShowError("No trial has finished yet.")
        return self.trials

    def require_complete(self) -> list[FrozenTrial]:
        if self.require_trials() and not self.complete:
            raise NothingToShowError("No trial has completed with a finite value.")
        return self.complete

    def sample(self, trials: Sequence[FrozenTrial], limit: int) -> list[FrozenTrial]:
        """Return at most `limit` of the trials, evenly spread, always with the best."""
        if len(trials) <= limit:
            return list(trials)
        n_spread = limit - 1
        kept = {trials[i * len(trials) // n_spread].number for i in range(n_spread)}
        if self.best is not None:
            kept.add(self.best.number)
        return [trial for trial in trials if trial.number in kept]

    def to_study(
        self,
        trials: Sequence[FrozenTrial],
        *,
        scale: Callable[[float], float] = lambda value: value,
        n_objectives: int = 1,
    ) -> optuna.Study:
        """Return a study in memory of these trials, under their numbers, with all markup escaped.

        It has the first `n_objectives`.

        It is filled through the storage, because `add_trial` refuses values that were enqueued outside of their range.
        """
        storage = optuna.storages.InMemoryStorage()
        study = optuna.create_study(storage=storage, directions=self.directions[:n_objectives])
        study_id = storage.get_study_id_from_name(study.study_name)
        drawable = partial(_drawable, names=self.short_names, scale=scale, n_objectives=n_objectives)
        chosen = {trial.number: drawable(trial) for trial in trials}
        n_trials = self.trials[-1].number + 1 if self.trials else 0
        for number in range(n_trials):
            storage.create_new_trial(study_id, chosen.get(number) or create_trial(state=TrialState.WAITING))
        return study


def escape_markup(text: str) -> str:
    """Escape `<`, `>` and `&` for plotly, which shows `&lt;` as `<` but `&quot;` as it is."""
    return escape(text, quote=False)


def _short_name(name: str, names: Sequence[str]) -> str:
    """Return the fewest last parts of a config path that no other name ends in: `lr` for `optimizer.lr`."""
    parts = name.split(".")
    suffixes = [".".join(parts[i:]) for i in reversed(range(len(parts)))]
    others = [f".{other}" for other in names if other != name]
    return next((s for s in suffixes if not any(o.endswith(f".{s}") for o in others)), name)


def _drawable(
    trial: FrozenTrial, *, names: Mapping[str, str], scale: Callable[[float], float], n_objectives: int
) -> FrozenTrial:
    drawable = copy.copy(trial)
    drawable.params = {names[name]: _drawable_value(value) for name, value in trial.params.items()}
    drawable.distributions = {names[name]: _drawable_distribution(d) for name, d in trial.distributions.items()}
    drawable.user_attrs = {}
    if status_of(trial) == "infeasible":  # Optuna would draw it as pruned
        drawable.state = TrialState.FAIL
    drawable.intermediate_values = reported_by(trial)
    if trial.values is not None:
        drawable.values = [scale(value) for value in trial.values[:n_objectives]]
    return drawable


def _drawable_distribution(distribution: BaseDistribution) -> BaseDistribution:
    if isinstance(distribution, CategoricalDistribution):
        return CategoricalDistribution([_drawable_value(choice) for choice in distribution.choices])
    return distribution


def _drawable_value(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else escape_markup(str(value))
