"""The first example as a user runs it: a project of its own, ``runtime: python``, the CLI by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import TestPool
from tests.e2e.inventory import Inventory
from tests.e2e.stacks import PLUGIN_DIRECTORY, environment, prepare
from tools.guests import GuestImage

EXAMPLE = Path(__file__).parents[2] / "examples" / "01-first-server"


class Project:
    """A copy of the example beside this checkout's virtual environment, with names and a pool of this module's own."""

    def __init__(self, directory: Path, prefix: str, guest: GuestImage) -> None:
        self.directory = directory / "examples" / EXAMPLE.name
        self._environment = {**os.environ, **environment(directory)}
        shutil.copytree(EXAMPLE, self.directory, ignore=shutil.ignore_patterns("Pulumi.*.yaml", "__pycache__"))
        (directory / ".venv").symlink_to(PLUGIN_DIRECTORY.parent)
        prepare(directory)
        config = {
            "pulumi:autonaming": {"pattern": f"{prefix}-${{name}}"},
            "kiln:storagePool": prefix,
            "kiln-demo:rootImage": str(guest.disk),
            "kiln-demo:kernel": str(guest.kernel),
            "kiln-demo:initrd": str(guest.initrd),
            "kiln-demo:cmdline": guest.cmdline,
        }
        (self.directory / "Pulumi.test.yaml").write_text(json.dumps({"config": config}))
        self.pulumi("stack", "init", "test")

    def pulumi(self, *arguments: str) -> str:
        """Run the CLI in the project."""
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
        answer = subprocess.run(
            command, cwd=self.directory, env=self._environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, pool: TestPool, tiny_guest: GuestImage) -> Iterator[Project]:
    made = Project(tmp_path_factory.mktemp("example"), pool.name, tiny_guest)
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
