"""The search space as a person reads it."""

import math
from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from lightsweep.errors import aligned
from lightsweep.search.space import SearchSpace

HEADER = ("parameter", "kind", "values", "type")


def space_table(space: SearchSpace, *, groups: Sequence[str]) -> str:
    """One line per parameter; the last column is what a trial's config holds, as Hydra reads it back.

    `groups` are the parameters whose values choose a config and are no values themselves.
    """
    rows: list[tuple[str, ...]] = [
        HEADER,
        *(_row(space, name, is_group=name in groups) for name in space.distributions),
    ]
    if space.conditions:
        where = [space.conditions[name].text if name in space.conditions else "" for name in space.distributions]
        rows = [(*row, text) for row, text in zip(rows, ["where", *where], strict=True)]
    return "\n".join([f"Search space ({_size(space)})", *aligned(rows)])


def _size(space: SearchSpace) -> str:
    n_points = space.n_points()
    if n_points is not None:
        return f"{n_points:,} points"
    continuous = [name for name, d in space.distributions.items() if isinstance(d, FloatDistribution) and not d.step]
    if not continuous:
        return "some parameters apply only where others have certain values"
    return f"without end: {', '.join(continuous)} {'is' if len(continuous) == 1 else 'are'} continuous"


def _row(space: SearchSpace, name: str, *, is_group: bool) -> tuple[str, str, str, str]:
    distribution = space.distributions[name]
    kind, values = _kind_and_values(space, name, distribution)
    return name, kind, values, "config group" if is_group else _types(space, name, distribution)


def _kind_and_values(space: SearchSpace, name: str, distribution: BaseDistribution) -> tuple[str, str]:
    if isinstance(distribution, CategoricalDistribution):
        texts = [o.partition("=")[2] or "''" for c in distribution.choices for o in space.to_overrides({name: c})]
        return "choice", ", ".join(texts)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    values = f"{distribution.low:g} to {distribution.high:g}"
    if isinstance(distribution, IntDistribution):
        values = f"{distribution.low} to {distribution.high}"
    if distribution.step not in (None, 1):
        values += f", step {distribution.step:g}"
    if distribution.log:
        values += f", log ({math.log10(distribution.high / distribution.low):.3g} decades)"
    return "int" if isinstance(distribution, IntDistribution) else "float", values


def _types(space: SearchSpace, name: str, distribution: BaseDistribution) -> str:
    if not isinstance(distribution, CategoricalDistribution):
        return "int" if isinstance(distribution, IntDistribution) else "float"
    return " or ".join(dict.fromkeys(_type_of(space.meant(name, choice)) for choice in distribution.choices))


def _type_of(value: Any) -> str:
    return {"NoneType": "null", "dict": "mapping"}.get(type(value).__name__, type(value).__name__)
