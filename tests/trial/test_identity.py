"""Which processes are taken for others, and for remote ones."""

from dataclasses import replace

import pytest

from lightsweep.trial.heartbeat import key_of
from lightsweep.trial.identity import Owner, ProcessIdentity

HERE = ProcessIdentity.here()


@pytest.mark.parametrize(
    ("changes", "is_remote"),
    [
        ({}, False),
        ({"host": "elsewhere"}, True),
        ({"pid_namespace": "pid:[1]"}, True),  # a container of the same host name
        ({"pid_namespace": ""}, False),  # written by an earlier version
    ],
)
def test_another_host_or_container_is_remote(changes: dict[str, str], is_remote: bool) -> None:
    other = replace(HERE, **changes)  # type: ignore[arg-type]
    assert other.is_remote() is is_remote
    assert ProcessIdentity.from_record(other.to_record()) == other
    assert Owner(other, other).is_here() is (other == HERE)
    assert (key_of(other) == key_of(HERE)) is (other == HERE)


@pytest.mark.parametrize("record", [None, 3, "x", [], {}, {"host": "a", "pid": "b", "started": 1}])
def test_anything_else_than_a_record_is_no_identity(record: object) -> None:
    assert ProcessIdentity.from_record(record) is None


def test_a_record_of_an_earlier_version_is_read() -> None:
    assert ProcessIdentity.from_record({"host": "a", "pid": 1, "started": 2.0}) == ProcessIdentity("a", 1, 2.0)
