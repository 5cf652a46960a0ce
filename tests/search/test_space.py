"""The search space: from override texts to distributions, and from a trial back to overrides of the same values."""

import math
from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from lightsweep.errors import ConfigError
from lightsweep.search.request import parse_request
from lightsweep.search.space import SearchSpace


def space_of(*arguments: str, **params: str) -> SearchSpace:
    return parse_request(params, arguments).space


def read_back(override: str) -> Any:
    """What a job gets to see of an override."""
    return OverridesParser.create().parse_override(override).value()


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
        ("range(64, 256, 64)", IntDistribution(64, 192, step=64)),  # the stop is not part of a range
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
def test_a_text_becomes_a_distribution(text: str, distribution: BaseDistribution) -> None:
    [(name, there)] = space_of(**{"model.x": text}).distributions.items()
    assert name == "model.x"
    assert there == distribution
    if isinstance(distribution, CategoricalDistribution):  # to Optuna 1 and True are the same choice
        assert list(map(type, there.choices)) == list(map(type, distribution.choices))


ROUND_TRIPS = {
    "choice(adam, sgd)": ["adam", "sgd"],
    "choice(1, 2)": [1, 2],
    "choice(0.1, 1e-5)": [0.1, 1e-5],
    "choice(-1, +2)": [-1, 2],
    "choice(true, false)": [True, False],
    "null, 1": [None, 1],
    "choice('null', 1)": ["null", 1],
    "choice('true', '1', '1.0')": ["true", "1", "1.0"],
    "true, 'true', '1', 2": [True, "true", "1", 2],
    "choice('e=f', 'a,b', '', 'a b')": ["e=f", "a,b", "", "a b"],
    "choice('(x', 'y)', '[z')": ["(x", "y)", "[z"],
    'choice("it\'s", \'say "x"\')': ["it's", 'say "x"'],
    "choice(a:b, 'c:d', a-b, a/b.c)": ["a:b", "c:d", "a-b", "a/b.c"],
    "choice('C:\\dir', 'x\\y')": ["C:\\dir", "x\\y"],
    "choice(' x', 'x ')": [" x", "x "],
    "choice('ü', '日本')": ["ü", "日本"],
    "choice([128, 32], [64])": [[128, 32], [64]],
    "choice([], [1, true, null, 'x,y', '1'])": [[], [1, True, None, "x,y", "1"]],
    "'[1]', [1]": ["[1]", [1]],
    "choice({a: 1}, {b: [1, '2']}, {})": [{"a": 1}, {"b": [1, "2"]}, {}],
    "[1, 2], [3]": [[1, 2], [3]],
    "choice('${seed}', '${oc.env:HOME}')": ["${seed}", "${oc.env:HOME}"],
    "sort(3, 1, 2)": [1, 2, 3],
    "str(choice(1, 2))": ["1", "2"],
    "float(choice(1, 2))": [1.0, 2.0],
}


@pytest.mark.parametrize(("text", "values"), ROUND_TRIPS.items())
def test_each_choice_arrives_in_a_job_with_its_value_and_type(text: str, values: list[Any]) -> None:
    space = space_of(x=text)
    [distribution] = space.distributions.values()
    assert isinstance(distribution, CategoricalDistribution)
    back = [read_back(override) for choice in distribution.choices for override in space.to_overrides({"x": choice})]
    assert back == values
    assert list(map(type, back)) == list(map(type, values))


def test_a_choice_is_quoted_only_where_it_must_be() -> None:
    """These texts are read by people, in the command that repeats a trial."""
    space = space_of(x="choice(adam, 'true', 1e-3, [64, 32])")
    [distribution] = space.distributions.values()
    assert isinstance(distribution, CategoricalDistribution)
    overrides = [space.to_overrides({"x": choice})[0] for choice in distribution.choices]
    assert overrides == ["x=adam", "x='true'", "x=0.001", "x=[64,32]"]


def drawn(space: SearchSpace, *, n_trials: int) -> list[tuple[Any, optuna.trial.FrozenTrial]]:
    """What the jobs of `n_trials` random trials see, each with what the study keeps of the trial."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    pairs = []
    for _ in range(n_trials):
        [override] = space.to_overrides(space.suggest(study.ask()))
        pairs.append((read_back(override), study.trials[-1]))
    return pairs


@pytest.mark.parametrize("text", ROUND_TRIPS)
def test_a_study_draws_every_choice_and_writes_it_back_from_what_it_kept(text: str) -> None:
    """The best trial is refitted from what the study kept, so that must lead to the same override."""
    space = space_of(x=text)
    pairs = drawn(space, n_trials=60)
    values = ROUND_TRIPS[text]
    assert all(any(type(v) is type(seen) and v == seen for seen, _ in pairs) for v in values)
    for seen, trial in pairs:
        assert [repr(read_back(o)) for o in space.to_overrides(trial.params)] == [repr(seen)]


@pytest.mark.parametrize("text", ["1, true", "false, 0", "1, 1.0", "choice('[1]', [1])", "choice({a: 1}, '{a:1}')"])
def test_choices_that_python_calls_equal_or_that_are_written_alike_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="Optuna takes two of these choices for the same"):
        space_of(x=text)


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
def test_a_drawn_number_arrives_to_the_last_digit(text: str, low: float, high: float) -> None:
    for seen, trial in drawn(space_of(x=text), n_trials=50):
        assert type(seen) is type(low)
        assert seen == trial.params["x"]
        assert low <= seen <= high


@pytest.mark.parametrize("text", ["int(interval(1, 3))", "range(1, 4)", "choice(1, 2, 3)"])
def test_both_ends_are_drawn(text: str) -> None:
    assert {seen for seen, _ in drawn(space_of(x=text), n_trials=40)} == {1, 2, 3}


CONFIGURED = {"n": "int(interval(1, 3))", "optimizer": "choice(adam, sgd)", "lr": "interval(0.1, 0.2)"}


@pytest.mark.parametrize(
    ("arguments", "fixed_by_user"),
    [
        (["n=2", "+n=2", "++n=2", "~n", "~n=1", "n=null", "n=", "n=${seed}"], ["n"]),
        (["optimizer=adamw"], ["optimizer"]),
        (["seed=7", "nn=7", "optimizer.n=7"], []),  # the last is another key with the same last part
    ],
)
def test_a_value_on_the_command_line_takes_a_parameter_out_of_the_search(
    arguments: list[str], fixed_by_user: list[str]
) -> None:
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
def test_a_sweep_on_the_command_line_replaces_the_one_of_the_config(argument: str, searched: BaseDistribution) -> None:
    request = parse_request(CONFIGURED, [argument])
    assert [name.lstrip("+") for name in request.space.distributions] == ["n", "optimizer", "lr"]
    assert next(iter(request.space.distributions.values())) == searched
    assert request.fixed == request.fixed_by_user == []


def test_a_sweep_on_the_command_line_may_add_a_parameter() -> None:
    request = parse_request(CONFIGURED, ["+model.depth=int(interval(1, 2))", "seed=choice(1, 2)"])
    assert list(request.space.distributions) == ["n", "optimizer", "lr", "+model.depth", "seed"]
    assert request.space.to_overrides({"+model.depth": 2, "seed": 1}) == ["+model.depth=2", "seed=1"]


def test_the_last_word_on_the_command_line_counts() -> None:
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
def test_fixed_overrides_of_command_line_and_config_reach_the_job_letter_by_letter(override: str) -> None:
    requests = [(parse_request(CONFIGURED, [override]), [override])]
    if override in FIXED:
        name, _, value = override.partition("=")  # the command line comes last, and so wins
        requests.append((parse_request({**CONFIGURED, name: value}, ["seed=1"]), [override, "seed=1"]))
    for request, fixed in requests:
        assert request.fixed == fixed
        assert set(request.space.distributions) == set(CONFIGURED)


@pytest.mark.parametrize(
    "params",
    [
        {"a": "choice(x, y, z)", "b": "int(interval(1, 5))", "c": "tag(log, interval(1e-3, 1))"},
        {"a": "choice(1)", "b": "range(64, 257, 64)"},
        {"a": "choice([1], [2, 3], null_)", "b": "true, false"},
    ],
)
def test_the_samples_show_every_choice_and_both_ends_in_as_few_sets_as_can_be(params: Mapping[str, str]) -> None:
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
def test_the_ends_of_a_space_are_those_of_its_numbers_and_of_the_order_of_other_choices(
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
def test_a_space_knows_how_many_points_it_has(params: Mapping[str, str], n_points: int | None) -> None:
    assert space_of(**params).n_points() == n_points


def test_the_problems_of_several_ranges_are_one_message() -> None:
    with pytest.raises(ConfigError, match=r"2 things are wrong\n- the search space of a .*\n- the search space of c "):
        space_of(a="interval(3, 1)", b="choice(1, 2)", c="range(4, 1)")


def test_an_empty_space_has_no_samples_and_no_problems() -> None:
    assert space_of("n=1", n="choice(1, 2)").samples() == []
    assert space_of().problems() == []


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
def test_a_grid_holds_all_values_that_can_be_counted(text: str, values: list[Any]) -> None:
    assert space_of(x=text).grid() == {"x": values}


def test_the_values_of_a_grid_are_ones_that_the_distribution_takes() -> None:
    space = space_of(x="range(0.1, 0.9, 0.1)", y="range(0.01, 1, 0.03)")
    for name, values in space.grid().items():
        distribution = space.distributions[name]
        assert len(values) == {"x": 8, "y": 33}[name]
        for value in values:
            assert distribution._contains(distribution.to_internal_repr(value))
            [override] = space.to_overrides({name: value})
            assert read_back(override) == value


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
def test_a_grid_names_all_that_can_not_be_counted_and_shows_the_way_out(params: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space_of(**params).grid()


@pytest.mark.parametrize(
    ("params", "parts"),
    [
        ({"model.dropout_rate": "interval(0.1, 1.2)"}, ["the search space: model.dropout_rate is 1.2; it must be"]),
        ({"model.n_layers": "int(interval(0, 3))"}, ["model.n_layers is 0; it must be a whole number of at least 1."]),
        ({"model.n_layers": "interval(1, 3)"}, ["model.n_layers is 1.0", "model.n_layers is 3.0"]),
        ({"data.batch_size": "choice(0, 64, -1)"}, ["data.batch_size is 0", "data.batch_size is -1"]),
        ({"data.batch_size": "choice(32, '64')"}, ["data.batch_size is"]),
        (
            {"optimizer.lr": "interval(0, 1)", "+model.hidden_size": "choice(0, 64)"},
            ["optimizer.lr is 0.0", "+model.hidden_size is 0"],
        ),
        ({"optimizer.lr": "interval(0.1, 1)", "anything": "choice(-1, x)", "optimizer": "choice(a)"}, []),
        ({"model.layer_sizes": "choice([64,32], [128])"}, []),
        ({"model.layer_sizes": "choice([64,0], [128])"}, ["model.layer_sizes is [64, 0]"]),
    ],
)
def test_problems_are_the_ends_and_choices_that_break_a_rule(params: Mapping[str, str], parts: list[str]) -> None:
    problems = space_of(**params).problems()
    assert len(problems) == len(parts)
    for problem, part in zip(problems, parts, strict=True):
        assert part in problem


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
        "glob(a*)",
        *("interval(nan, 1)", "interval(0, nan)", "interval(0, inf)", "interval(-inf, inf)"),
    ],
)
def test_a_range_that_makes_no_sense_is_the_users_to_mend(text: str) -> None:
    with pytest.raises(ConfigError, match=r"the search space of model\.x is 'model\.x="):
        space_of(**{"model.x": text})


@pytest.mark.parametrize("text", ["choice(", "interval(1", "choice(null, 1)", "interval(a, b)", "range()"])
def test_what_hydra_cannot_parse_is_hydras_own_error(text: str) -> None:
    with pytest.raises((OverrideParseException, ConfigError)):
        space_of(x=text)


def test_the_space_is_kept_as_one_text_per_parameter_that_tells_spaces_apart() -> None:
    texts = ["choice(1, 2)", "choice(2, 1)", "int(interval(1, 2))", "interval(1, 2)", "tag(log, interval(1, 2))"]
    kept = [space_of(x=text).described() for text in texts]
    assert kept[0] == space_of(x="1,2").described()
    assert len({k["x"] for k in kept}) == len(texts)


def test_values_that_no_text_was_kept_for_are_written_as_they_are() -> None:
    space = space_of(x="interval(0, 1)")
    assert space.to_overrides({"x": 0.1 + 0.2}) == ["x=0.30000000000000004"]
    assert math.isclose(read_back("x=1e-05"), 1e-5)
