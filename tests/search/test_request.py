"""Parsing of sweeps, from the config and the command line, into distributions and overrides."""

import pytest
from hydra.errors import OverrideParseException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from lightsweep.errors import ConfigError
from lightsweep.search.request import parse_request
from tests.search.spaces import space_of


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("int(interval(1, 3))", IntDistribution(1, 3)),
        ("int(interval(1.5, 3.5))", IntDistribution(1, 3)),
        ("interval(0.1, 0.5)", FloatDistribution(0.1, 0.5)),
        ("interval(1, 3)", FloatDistribution(1.0, 3.0)),
        ("interval(2, 2)", FloatDistribution(2.0, 2.0)),
        ("interval(-1, 1)", FloatDistribution(-1.0, 1.0)),
        ("tag(log, interval(1e-5, 1e-2))", FloatDistribution(1e-5, 1e-2, log=True)),
        ("tag(log, int(interval(1, 64)))", IntDistribution(1, 64, log=True)),
        ("int(tag(log, interval(1, 64)))", IntDistribution(1, 64, log=True)),
        ("range(64, 257, 64)", IntDistribution(64, 256, step=64)),
        ("range(64, 256, 64)", IntDistribution(64, 192, step=64)),  # the stop is excluded
        ("range(64, 250, 64)", IntDistribution(64, 192, step=64)),
        ("range(1, 4)", IntDistribution(1, 3)),
        ("range(4)", IntDistribution(0, 3)),
        ("range(5, 1, -1)", IntDistribution(2, 5)),
        ("range(0.1, 0.5, 0.1)", FloatDistribution(0.1, 0.4, step=0.1)),
        ("range(0, 1, 0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("choice(adam, sgd)", CategoricalDistribution(("adam", "sgd"))),
        ("choice(32, 64, 128)", CategoricalDistribution((32, 64, 128))),
        ("choice(0.1, 0.25)", CategoricalDistribution((0.1, 0.25))),
        ("choice(true, false)", CategoricalDistribution((True, False))),
        ("choice(relu)", CategoricalDistribution(("relu",))),
        ("1, 2, 3", CategoricalDistribution((1, 2, 3))),
        ("adam, sgd", CategoricalDistribution(("adam", "sgd"))),
        ("1e-3, 1", CategoricalDistribution((0.001, 1))),
    ],
)
def test_a_sweep_becomes_a_distribution(text: str, distribution: BaseDistribution) -> None:
    [(name, parsed)] = space_of(**{"model.x": text}).distributions.items()
    assert name == "model.x"
    assert parsed == distribution
    if isinstance(distribution, CategoricalDistribution):  # Optuna treats 1 and True as equal
        assert list(map(type, parsed.choices)) == list(map(type, distribution.choices))


def test_a_choice_is_quoted_only_where_necessary() -> None:
    """Users read these texts in the command that repeats a trial."""
    space = space_of(x="choice(adam, 'true', 1e-3, [64, 32])")
    [distribution] = space.distributions.values()
    assert isinstance(distribution, CategoricalDistribution)
    overrides = [space.to_overrides({"x": choice})[0] for choice in distribution.choices]
    assert overrides == ["x=adam", "x='true'", "x=0.001", "x=[64,32]"]


@pytest.mark.parametrize("text", ["1, true", "false, 0", "1, 1.0", "choice('[1]', [1])", "choice({a: 1}, '{a:1}')"])
def test_choices_that_optuna_treats_as_equal_are_rejected(text: str) -> None:
    with pytest.raises(ConfigError, match="Optuna treats two of these choices as equal"):
        space_of(x=text)


CONFIGURED = {"n": "int(interval(1, 3))", "optimizer": "choice(adam, sgd)", "lr": "interval(0.1, 0.2)"}


@pytest.mark.parametrize(
    ("arguments", "fixed_by_user"),
    [
        (["n=2", "+n=2", "++n=2", "~n", "~n=1", "n=null", "n=", "n=${seed}"], ["n"]),
        (["optimizer=adamw"], ["optimizer"]),
        (["seed=7", "nn=7", "optimizer.n=7"], []),  # the last is another key with the same last part
    ],
)
def test_a_value_on_the_command_line_fixes_a_parameter(arguments: list[str], fixed_by_user: list[str]) -> None:
    for argument in arguments:
        request = parse_request(CONFIGURED, [argument])
        assert set(request.space.distributions) == CONFIGURED.keys() - fixed_by_user
        assert request.fixed == [argument]
        assert request.fixed_by_user == fixed_by_user


@pytest.mark.parametrize(
    ("argument", "searched"),
    [
        ("n=choice(5, 6)", CategoricalDistribution((5, 6))),
        ("n=5,6", CategoricalDistribution((5, 6))),
        ("n=interval(0, 1)", FloatDistribution(0.0, 1.0)),
        ("++n=choice(5, 6)", CategoricalDistribution((5, 6))),
    ],
)
def test_a_sweep_on_the_command_line_replaces_that_of_the_config(argument: str, searched: BaseDistribution) -> None:
    request = parse_request(CONFIGURED, [argument])
    assert [name.lstrip("+") for name in request.space.distributions] == ["n", "optimizer", "lr"]
    assert next(iter(request.space.distributions.values())) == searched
    assert request.fixed == request.fixed_by_user == []


def test_a_sweep_on_the_command_line_can_add_a_parameter() -> None:
    request = parse_request(CONFIGURED, ["+model.depth=int(interval(1, 2))", "seed=choice(1, 2)"])
    assert list(request.space.distributions) == ["n", "optimizer", "lr", "+model.depth", "seed"]
    assert request.space.to_overrides({"+model.depth": 2, "seed": 1}) == ["+model.depth=2", "seed=1"]


def test_the_last_override_on_the_command_line_wins() -> None:
    fixed_again = parse_request(CONFIGURED, ["n=choice(5, 6)", "n=7"])
    assert "n" not in fixed_again.space.distributions
    assert fixed_again.fixed == ["n=7"]


FIXED = [
    "x=${y}",
    "x='${y}'",
    "path='/data/a,b/c'",
    "path=/data/a b",
    "x='true'",
    "x=[1,2]",
    "+x={a: 1}",
    "group@package=option",
    "ckpt='epoch=2-step=12.ckpt'",
    "x=",
]


@pytest.mark.parametrize("override", [*FIXED, "~x", "~x=1"])
def test_fixed_overrides_are_passed_to_jobs_unchanged(override: str) -> None:
    requests = [(parse_request(CONFIGURED, [override]), [override])]
    if override in FIXED:
        name, _, value = override.partition("=")  # the command line comes last, so it wins
        requests.append((parse_request({**CONFIGURED, name: value}, ["seed=1"]), [override, "seed=1"]))
    for request, fixed in requests:
        assert request.fixed == fixed
        assert set(request.space.distributions) == set(CONFIGURED)


def test_the_problems_of_several_ranges_are_one_message() -> None:
    with pytest.raises(ConfigError, match=r"2 things are wrong\n- the search space of a .*\n- the search space of c "):
        space_of(a="interval(3, 1)", b="choice(1, 2)", c="range(4, 1)")


@pytest.mark.parametrize(
    "text",
    [
        "interval(3, 1)",
        "int(interval(3, 1))",
        "tag(log, interval(0, 1))",
        "tag(log, interval(-1, 1))",
        "tag(log, int(interval(0, 8)))",
        "range(1, 1)",
        "range(4, 1)",
        "range(1, 4, 0)",
        "range(0.1, 0.1)",
        "range(0.1, nan)",
        *("interval(nan, 1)", "interval(0, nan)", "interval(0, inf)", "interval(-inf, inf)"),
    ],
)
def test_an_invalid_range_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"the search space of model\.x is 'model\.x="):
        space_of(**{"model.x": text})


@pytest.mark.parametrize("text", ["choice(", "interval(1", "choice(null, 1)", "interval(a, b)", "range()"])
def test_a_syntax_error_is_raised_as_hydras_error_or_as_a_config_error(text: str) -> None:
    with pytest.raises((OverrideParseException, ConfigError)):
        space_of(x=text)
