"""What messages are made of."""

import pytest

from lightsweep.errors import first_few


@pytest.mark.parametrize(
    ("n", "told"),
    [
        (0, ""),
        (1, "0"),
        (2, "0, 1"),
        (5, "0, 1, 2, 3, 4"),
        (6, "0, 1, 2, 3, 4 and 1 more"),
        (300, "0, 1, 2, 3, 4 and 295 more"),
    ],
)
def test_of_many_names_a_few_are_shown(n: int, told: str) -> None:
    assert first_few(range(n)) == told
