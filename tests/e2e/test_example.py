"""The first example as a user runs it: a project of its own, ``runtime: python``, the CLI by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import TestPool
from tests.e2e.inventory import Inventory
from tests.e2e.project import Project, first_server
from tools.guests import GuestImage


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, pool: TestPool, tiny_guest: GuestImage) -> Iterator[Project]:
    made = Project(tmp_path_factory.mktemp("example"), "01-first-server", names=pool.name, pool=pool.name)
    made.init(first_server(tiny_guest))
    yield made
    made.pulumi("destroy", "--yes")


def test_the_example_makes_a_guest_that_has_booted(project: Project, prefix: str, inventory: Inventory) -> None:
    assert "+ 5 to create" in project.pulumi("preview")
    assert not [name for name in inventory.domains() if prefix in name]
    project.pulumi("up", "--yes", "--skip-preview")
    outputs: dict[str, Any] = json.loads(project.pulumi("stack", "output", "--json", "--show-secrets"))
    assert outputs["name"] == f"{prefix}-demo"
    assert inventory.running(outputs["name"])
    assert len(outputs["initialPassword"]) == 20
    assert outputs["consoleCommand"].endswith(f"console {prefix}-demo")
    assert set(inventory.disks(outputs["name"], live=True)) == {"vda", "vdb"}
    assert "finished at" in Path(outputs["consoleLog"]).read_text(errors="replace")
    masked = project.pulumi("stack", "output", "--json")
    assert outputs["initialPassword"] not in masked

    assert "unchanged" in project.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
