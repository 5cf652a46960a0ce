"""Helpers for tests of search spaces."""

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from lightsweep.search.request import parse_request
from lightsweep.search.space import SearchSpace

# Choices that are hard to write as overrides, and the values that the jobs must get.
ROUND_TRIPS: dict[str, list[Any]] = {
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


def space_of(*arguments: str, **params: str) -> SearchSpace:
    return parse_request(params, arguments).space


def read_back(override: str) -> Any:
    """Return the value that a job gets from an override."""
    return OverridesParser.create().parse_override(override).value()
