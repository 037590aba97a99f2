"""The repository of examples/02-gitops: pushed to a bare repository, planned, applied, and looked at by night."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import TestPool
from tests.e2e.inventory import Inventory
from tests.e2e.project import EXAMPLES
from tests.e2e.stacks import PLUGIN_DIRECTORY, environment, prepare
from tools.guests import GuestImage

EXAMPLE = EXAMPLES / "02-gitops"
CHANGED = 7
"""The status of a preview with --expect-no-changes that sees some."""
AUTHOR = {f"GIT_{who}_{what}": "kiln@test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@dataclass
class Lab:
    """A clone of the lab's repository, and the bare one it is pushed to."""

    clone: Path
    bare: Path
    env: dict[str, str]

    def run(self, *command: str, status: int = 0) -> str:
        """Run a command in the clone; returns all it printed. Raises AssertionError when it ends otherwise."""
        answer = subprocess.run(
            command,
            cwd=self.clone,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert answer.returncode == status, answer.stdout
        return answer.stdout

    def write(self, memory: str) -> None:
        """Give the one server of the lab this memory."""
        file = self.clone / "Pulumi.lab.yaml"
        document = yaml.safe_load(file.read_text())
        document["config"]["kiln-lab:servers"]["web"]["memory"] = memory
        file.write_text(yaml.safe_dump(document))

    def push(self, branch: str) -> str:
        """Commit everything on a branch that begins here, and push it; returns what the hook said."""
        self.run("git", "checkout", "-q", "-B", branch)
        self.run("git", "add", "--all")
        self.run("git", "commit", "-q", "--allow-empty", "-m", f"change {branch}")
        return self.run("git", "push", "origin", branch)

    def night(self, status: int = 0) -> str:
        """What cron runs."""
        return self.run(str(self.bare / "hooks" / "run"), "drift", "main", status=status)


def set_up(path: list[str]) -> list[str]:
    """A PATH as on the machine that runs the steps: it leads to the CLI, and not to Kiln's virtual environment."""
    return [directory for directory in path if Path(directory) != PLUGIN_DIRECTORY]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, pool: TestPool, tiny_guest: GuestImage) -> Iterator[Lab]:
    directory = tmp_path_factory.mktemp("gitops")
    prepare(directory)
    env = {**os.environ, **AUTHOR, **environment(directory), "KILN_VENV": str(PLUGIN_DIRECTORY.parent)}
    env["PATH"] = os.pathsep.join(set_up(os.environ["PATH"].split(os.pathsep)))
    made = Lab(directory / "clone", directory / "lab.git", env)
    shutil.copytree(EXAMPLE, made.clone)
    config = {
        "pulumi:autonaming": {"pattern": f"{pool.name}-${{name}}"},
        "kiln:uri": "qemu:///system",
        "kiln:storagePool": pool.name,
        "kiln-lab:image": {
            "source": str(tiny_guest.disk),
            "kernel": str(tiny_guest.kernel),
            "initrd": str(tiny_guest.initrd),
            "cmdline": tiny_guest.cmdline,
        },
        "kiln-lab:servers": {"web": {"memory": "128MiB", "wait_for": "firstBoot"}},
    }
    (made.clone / "Pulumi.lab.yaml").write_text(yaml.safe_dump({"config": config}))
    made.run("git", "init", "-q", "--initial-branch=main")
    made.run("git", "init", "-q", "--bare", "--initial-branch=main", str(made.bare))
    made.run("git", "remote", "add", "origin", str(made.bare))
    shutil.copytree(EXAMPLE / "hooks", made.bare / "hooks", dirs_exist_ok=True)
    settings = {**environment(directory), "KILN_VENV": str(PLUGIN_DIRECTORY.parent)}
    (made.bare / "kiln.env").write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()))
    made.run("pulumi", "stack", "init", "lab")
    yield made
    made.env["PATH"] = os.environ["PATH"]
    made.run("ci/setup")
    made.run("pulumi", "destroy", "--stack", "lab", "--yes", "--skip-preview", "--non-interactive")


@pytest.fixture(scope="module")
def applied(lab: Lab) -> str:
    """What the first push to main said."""
    return lab.push("main")


def test_what_is_pushed_to_main_is_made(lab: Lab, applied: str, prefix: str, inventory: Inventory) -> None:
    assert "apply of main" in applied
    assert inventory.running(f"{prefix}-web")
    assert "salt" in (lab.clone / "Pulumi.lab.yaml").read_text()
    lab.night()


@pytest.mark.usefixtures("applied")
def test_a_branch_is_planned_and_changes_nothing_until_it_is_merged(
    lab: Lab, prefix: str, inventory: Inventory
) -> None:
    name = f"{prefix}-web"
    ran = inventory.domain(name).ID()
    lab.write("192MiB")
    told = lab.push("more-memory")
    assert "plan of more-memory" in told
    assert "memory 128MiB → 192MiB, restart" in told
    assert inventory.domain(name).ID() == ran
    assert inventory.domain(name).maxMemory() == 128 << 10

    lab.run("git", "checkout", "-q", "main")
    lab.run("git", "merge", "-q", "more-memory")
    assert "apply of main" in lab.run("git", "push", "origin", "main")
    assert inventory.domain(name).maxMemory() == 192 << 10
    assert inventory.running(name)


@pytest.mark.usefixtures("applied")
def test_what_a_branch_must_not_say_fails_its_plan(lab: Lab) -> None:
    lab.write("a lot")
    told = lab.push("nonsense")
    lab.run("git", "checkout", "-q", "main")
    assert "'a lot' is not a size" in told


@pytest.mark.usefixtures("applied")
def test_a_night_tells_what_somebody_changed_and_the_next_apply_puts_it_right(
    lab: Lab, prefix: str, inventory: Inventory
) -> None:
    lab.run("git", "checkout", "-q", "main")
    inventory.domain(f"{prefix}-web").destroy()
    told = lab.night(status=CHANGED)
    assert "powerState" in told
    assert not inventory.running(f"{prefix}-web")
    lab.push("main")
    assert inventory.running(f"{prefix}-web")
    lab.night()


def test_the_workflow_runs_the_same_three_steps() -> None:
    workflow = yaml.safe_load((EXAMPLE / ".github" / "workflows" / "lab.yml").read_text())
    steps = {name: job["steps"][-1]["run"] for name, job in workflow["jobs"].items()}
    assert steps == {name: f"ci/{name}" for name in ("plan", "apply", "drift")}
    assert all(os.access(EXAMPLE / step, os.X_OK) for step in steps.values())
