"""The search space: drawn values and their overrides, samples, grids and problems."""

from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from lightsweep.errors import ConfigError
from lightsweep.search.space import SearchSpace
from lightsweep.trial.params import exact
from tests.search.spaces import ROUND_TRIPS, read_back, space_of


def drawn(space: SearchSpace, *, n_trials: int) -> list[tuple[Any, optuna.trial.FrozenTrial]]:
    """Draw random trials. Returns, for each, the value that its job gets and the trial as the study stores it."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    pairs = []
    for _ in range(n_trials):
        [override] = space.to_overrides(space.suggest(study.ask()))
        pairs.append((read_back(override), study.trials[-1]))
    return pairs


@pytest.mark.parametrize(("text", "values"), ROUND_TRIPS.items())
def test_each_choice_reaches_its_job_with_its_type_and_is_restored_from_the_study(text: str, values: list[Any]) -> None:
    """The refit of the best trial gets its overrides from the stored trial."""
    space = space_of(x=text)
    pairs = drawn(space, n_trials=60)
    assert {repr(value) for value, _ in pairs} == set(map(repr, values))
    for value, trial in pairs:
        assert [repr(read_back(o)) for o in space.to_overrides(trial.params)] == [repr(value)]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("int(interval(1, 3))", 1, 3),
        ("range(64, 257, 64)", 64, 256),
        ("interval(0.1, 0.5)", 0.1, 0.5),
        ("tag(log, interval(1e-8, 1e-2))", 1e-8, 1e-2),
        ("tag(log, interval(1e-300, 1e300))", 1e-300, 1e300),
        ("range(0.1, 0.5, 0.1)", 0.1, 0.4),
    ],
)
def test_a_drawn_number_reaches_its_job(text: str, low: float, high: float) -> None:
    for seen, trial in drawn(space_of(x=text), n_trials=50):
        assert type(seen) is type(low)
        assert seen == exact(trial.params["x"], trial.distributions["x"])
        assert low <= seen <= high


@pytest.mark.parametrize(
    "params",
    [
        {"a": "choice(x, y, z)", "b": "int(interval(1, 5))", "c": "tag(log, interval(1e-3, 1))"},
        {"a": "choice(1)", "b": "range(64, 257, 64)"},
        {"a": "choice([1], [2, 3], null_)", "b": "true, false"},
    ],
)
def test_the_samples_show_every_choice_and_both_ends_in_as_few_sets_as_possible(params: Mapping[str, str]) -> None:
    space = space_of(**params)
    samples = space.samples()
    sizes = []
    for name, distribution in space.distributions.items():
        shown = {repr(sample[name]) for sample in samples}
        if isinstance(distribution, CategoricalDistribution):
            ends = set(map(repr, distribution.choices))
        else:
            assert isinstance(distribution, IntDistribution | FloatDistribution)
            ends = {repr(distribution.low), repr(distribution.high)}
        assert shown == ends
        sizes.append(len(ends))
    assert len(samples) == max(sizes)
    assert all(list(sample) == list(params) for sample in samples)


@pytest.mark.parametrize(
    ("text", "smallest", "largest"),
    [
        ("int(interval(1, 3))", 1, 3),
        ("range(64, 257, 64)", 64, 256),
        ("tag(log, interval(1e-5, 1e-2))", 1e-5, 1e-2),
        ("choice(64, 32, 128)", 32, 128),
        ("choice(0.5, 2, 1)", 0.5, 2),
        ("choice(b, a, c)", "b", "c"),
        ("choice(true, false)", True, False),
        ("null, 3, 1", "null", 1),
        ("choice([64], [8])", "[64]", "[8]"),
    ],
)
def test_the_smallest_and_largest_parameters_follow_numeric_values_or_the_order_of_choices(
    text: str, smallest: Any, largest: Any
) -> None:
    space = space_of(x=text)
    assert (space.smallest(), space.largest()) == ({"x": smallest}, {"x": largest})


@pytest.mark.parametrize(
    ("params", "n_points"),
    [
        ({"a": "choice(1, 2)", "b": "range(64, 257, 64)", "c": "int(interval(1, 3))"}, 24),
        ({"a": "range(0.1, 0.5, 0.1)"}, 4),
        ({"a": "interval(1, 1)", "b": "choice(x, y)"}, 2),
        ({"a": "choice(1, 2)", "b": "interval(0, 1)"}, None),
    ],
)
def test_the_number_of_points_is_known_unless_a_parameter_is_continuous(
    params: Mapping[str, str], n_points: int | None
) -> None:
    assert space_of(**params).n_points() == n_points


def test_an_empty_space_has_no_samples() -> None:
    assert space_of("n=1", n="choice(1, 2)").samples() == []


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("choice(a, b)", ["a", "b"]),
        ("int(interval(1, 3))", [1, 2, 3]),
        ("range(64, 257, 64)", [64, 128, 192, 256]),
        ("range(5, 1, -2)", [3, 5]),
        ("range(0, 1, 0.25)", [0.0, 0.25, 0.5, 0.75]),
        ("tag(log, int(interval(1, 4)))", [1, 2, 3, 4]),
        ("choice([1, 2], [3])", ["[1,2]", "[3]"]),
    ],
)
def test_a_grid_has_all_values_of_a_discrete_parameter(text: str, values: list[Any]) -> None:
    assert space_of(x=text).grid() == {"x": values}


def test_the_values_of_a_grid_lie_in_the_distribution() -> None:
    space = space_of(x="range(0.1, 0.9, 0.1)", y="range(0.01, 1, 0.03)")
    for name, values in space.grid().items():
        distribution = space.distributions[name]
        assert len(values) == {"x": 8, "y": 33}[name]
        for value in values:
            assert distribution._contains(distribution.to_internal_repr(value))
            [override] = space.to_overrides({name: value})
            assert read_back(override) == exact(value, distribution)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"x": "interval(0.5, 0.5)"}, "x is continuous"),
        (
            {"a": "interval(0, 1)", "b": "choice(1, 2)", "c": "tag(log, interval(1, 2))"},
            r"a, c are continuous\. Give choices, such as 'a=choice\(0\.1,0\.2\)'",
        ),
        ({"x": "int(interval(1, 1000000000))"}, "a range of 1000000000 values is too large for a grid"),
    ],
)
def test_a_grid_of_continuous_or_large_ranges_is_rejected(params: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space_of(**params).grid()


def test_different_distributions_have_different_descriptions() -> None:
    texts = ["choice(1, 2)", "choice(2, 1)", "int(interval(1, 2))", "interval(1, 2)", "tag(log, interval(1, 2))"]
    descriptions = [space_of(x=text).described() for text in texts]
    assert descriptions[0] == space_of(x="1,2").described()
    assert len({k["x"] for k in descriptions}) == len(texts)
