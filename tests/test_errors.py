"""The layout of error messages."""

import pytest

from lightsweep.errors import first_few


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, ""),
        (1, "0"),
        (2, "0, 1"),
        (5, "0, 1, 2, 3, 4"),
        (6, "0, 1, 2, 3, 4 and 1 more"),
        (300, "0, 1, 2, 3, 4 and 295 more"),
    ],
)
def test_the_first_names_are_shown_and_the_others_counted(n: int, text: str) -> None:
    assert first_few(range(n)) == text
