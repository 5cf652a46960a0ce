"""The search space as a table for the user."""

import math
from collections.abc import Sequence

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from lightsweep.errors import aligned
from lightsweep.search.space import SearchSpace


def space_table(space: SearchSpace, *, groups: Sequence[str]) -> str:
    """Return a table with one row per parameter. Its type is the type that the job's config has.

    `groups` are the parameters that choose from a config group.
    """
    rows = [("parameter", "kind", "values", "type"), *(_row(space, n, groups=groups) for n in space.distributions)]
    if space.conditions:
        conditions = [space.conditions[name].text if name in space.conditions else "" for name in space.distributions]
        rows = [(*row, text) for row, text in zip(rows, ["where", *conditions], strict=True)]
    return "\n".join([f"Search space ({_size(space)})", *aligned(rows)])


def _size(space: SearchSpace) -> str:
    n_points = space.n_points()
    if n_points is not None:
        return f"{n_points:,} points"
    continuous = [name for name, d in space.distributions.items() if isinstance(d, FloatDistribution) and not d.step]
    if not continuous:
        return "some parameters are conditional"
    return f"infinite: {', '.join(continuous)} {'is' if len(continuous) == 1 else 'are'} continuous"


def _row(space: SearchSpace, name: str, *, groups: Sequence[str]) -> tuple[str, ...]:
    distribution = space.distributions[name]
    if not isinstance(distribution, CategoricalDistribution):
        kind = "int" if isinstance(distribution, IntDistribution) else "float"
        return name, kind, _range(distribution), kind
    overrides = [override for choice in distribution.choices for override in space.to_overrides({name: choice})]
    choices = ", ".join(override.partition("=")[2] or "''" for override in overrides)
    types = dict.fromkeys(_type_of(space.job_value(name, choice)) for choice in distribution.choices)
    return name, "choice", choices, "config group" if name in groups else " or ".join(types)


def _range(distribution: BaseDistribution) -> str:
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    number = "d" if isinstance(distribution, IntDistribution) else "g"
    text = f"{distribution.low:{number}} to {distribution.high:{number}}"
    if distribution.step not in (None, 1):
        text += f", step {distribution.step:g}"
    if distribution.log:
        text += f", log ({math.log10(distribution.high / distribution.low):.3g} decades)"
    return text


def _type_of(value: object) -> str:
    return {"NoneType": "null", "dict": "mapping"}.get(type(value).__name__, type(value).__name__)
