"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A slow machine must not fail a property: time is what `bench/` looks at.
settings.register_profile("kiln", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", parent=settings.get_profile("kiln"), print_blob=True)
settings.load_profile("kiln")

TESTS = Path(__file__).parent
TIERS = ("e2e", "contract", "conformance", "faults", "hosts", "unit")
"""The tiers of tests with the slowest files first."""
WAITING = frozenset({"e2e", "contract"})
"""Those that wait for the node and its guests most of the time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Between each two files that wait for guests, one that computes: workers take files in this order, and two guests
    at a time are what two cores bear."""
    files = [list(group) for _, group in groupby(items, lambda item: item.path)]
    files.sort(key=lambda file: TIERS.index(_tier(file)) if _tier(file) in TIERS else 0)
    waiting = iter([file for file in files if _tier(file) in WAITING])
    computing = iter([file for file in files if _tier(file) not in WAITING])
    items[:] = [item for file in _mixed(waiting, computing) for item in file]


def _mixed(waiting: Iterator[list[pytest.Item]], computing: Iterator[list[pytest.Item]]) -> Iterator[list[pytest.Item]]:
    while pair := list(islice(waiting, 2)):
        yield from pair
        yield from islice(computing, 1)
    yield from computing


def _tier(file: list[pytest.Item]) -> str:
    return file[0].path.relative_to(TESTS).parts[0]
