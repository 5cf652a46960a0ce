"""The table of the search space."""

import pytest

from lightsweep.preflight.space_table import space_table
from lightsweep.search.request import parse_request
from tests.search.spaces import space_of

TABLE = """\
Search space (12 points)
  parameter    kind    values                             type
  n            int     1 to 3                             int
  group        choice  a, b                               config group
  other        choice  'true', 1                          str or int
"""


def test_the_table_has_a_row_per_parameter_with_the_type_in_the_job() -> None:
    space = space_of(n="int(interval(1, 3))", group="choice(a, b)", other="choice('true', 1)")
    table = space_table(space, groups=["group"])
    assert [line.split() for line in table.splitlines()] == [line.split() for line in TABLE.splitlines()]


def test_the_table_shows_conditions() -> None:
    space = parse_request({"x": "1,2", "y": "range(3)"}, [], when={"y": "x=2"}).space
    head, *rows = space_table(space, groups=[]).splitlines()
    assert head == "Search space (some parameters are conditional)"
    assert [row.split()[-1] for row in rows] == ["where", "int", "x=2"]


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("tag(log, interval(1e-5, 1e-2))", "float 1e-05 to 0.01, log (3 decades) float"),
        ("range(64, 257, 64)", "int 64 to 256, step 64 int"),
        ("range(0.1, 0.5, 0.1)", "float 0.1 to 0.4, step 0.1 float"),
        ("choice('', null_)", "choice '', null_ str"),
        ("null, [1], {a: 1}", "choice null, [1], {a:1} null or list or mapping"),
    ],
)
def test_a_row_shows_the_kind_the_values_and_the_type(text: str, row: str) -> None:
    last = space_table(space_of(x=text), groups=[]).splitlines()[-1]
    assert " ".join(last.split()) == f"x {row}"


def test_continuous_parameters_make_a_space_infinite() -> None:
    head = space_table(space_of(x="interval(0, 1)", y="1,2", z="interval(0, 1)"), groups=[]).splitlines()[0]
    assert head == "Search space (infinite: x, z are continuous)"
