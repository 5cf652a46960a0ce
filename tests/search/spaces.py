"""Helpers for tests of search spaces."""

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from lightsweep.search.request import parse_request
from lightsweep.search.space import SearchSpace


def space_of(*arguments: str, **params: str) -> SearchSpace:
    return parse_request(params, arguments).space


def read_back(override: str) -> Any:
    """Return the value that a job gets from an override."""
    return OverridesParser.create().parse_override(override).value()
