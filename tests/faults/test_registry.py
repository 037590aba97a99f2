"""Every step that the product has is reached by a scenario of the sweep, so that no step is without its faults."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import kiln.resources

from tests.faults.scenarios import drifts, moves, networks, servers, sizes, snapshots, storage
from tests.faults.sweep import reached

ROOM = Path(kiln.resources.__file__).parent


def names() -> Iterator[tuple[str, ast.expr]]:
    """Where a step is made in the product, and what it is called there."""
    for file in sorted(ROOM.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Step":
                yield f"{file.relative_to(ROOM)}:{node.lineno}", node.args[0]


def test_the_name_of_every_step_is_a_literal() -> None:
    assert [place for place, name in names() if not isinstance(name, ast.Constant)] == []


def test_a_scenario_reaches_every_step(tmp_path: Path) -> None:
    rooms = (storage, networks, moves, snapshots, sizes)
    tables = [room.SCENARIOS for room in rooms]
    tables += [servers.LIFE, servers.CHANGES, servers.POLICIES, drifts.SERVERS, drifts.OTHERS]
    found = {step for table in tables for scenario in table.values() for step in reached(scenario, tmp_path)}
    assert {name.value for _, name in names() if isinstance(name, ast.Constant)} - found == set()
