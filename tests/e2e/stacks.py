"""A Pulumi stack with an inline program, driven through the real CLI with the real plugin."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi import automation as auto
from pulumi.automation import OpMap, errors

Program = Callable[[], None]

PROJECT = "kiln-e2e"
STACK = "test"
PLUGIN_DIRECTORY = Path(__file__).parents[2] / ".venv" / "bin"
PASSPHRASE = "correct horse battery staple"


def environment(directory: Path) -> dict[str, str]:
    """What the CLI needs to keep its state in ``directory`` and to ask for nothing."""
    return {
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PULUMI_BACKEND_URL": f"file://{directory}/state",
        "PULUMI_HOME": f"{directory}/home",
        "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "1",
    }


def prepare(directory: Path) -> None:
    """Make the directories that ``environment`` names."""
    for name in ("state", "home"):
        (directory / name).mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class Run:
    """One run of the CLI: what it printed, how many resources it treated in which way, and the stack's outputs."""

    text: str
    changes: Mapping[str, int]
    outputs: Mapping[str, Any]

    @property
    def changed(self) -> dict[str, int]:
        """The changes without what stayed as it was."""
        return {kind: count for kind, count in self.changes.items() if kind != "same"}


class Stack:
    """One stack. The project's file is JSON, which is YAML; ``config`` is the project's configuration."""

    def __init__(self, directory: Path, config: Mapping[str, Any]) -> None:
        self.directory = directory
        prepare(directory)
        project = {
            "name": PROJECT,
            "runtime": "python",
            "plugins": {"providers": [{"name": "kiln", "path": str(PLUGIN_DIRECTORY)}]},
            "config": {key: {"value": value} for key, value in config.items()},
        }
        (directory / "Pulumi.yaml").write_text(json.dumps(project))
        options = auto.LocalWorkspaceOptions(work_dir=str(directory), env_vars=environment(directory))
        self._stack = auto.create_or_select_stack(STACK, project_name=PROJECT, program=_nothing, opts=options)

    def up(self, program: Program, *, refresh: bool = False) -> Run:
        """``pulumi up``; raises when it fails."""
        result = self._stack.up(program=program, color="never", refresh=refresh)
        outputs = {key: output.value for key, output in result.outputs.items()}
        return Run(result.stdout + result.stderr, _counts(result.summary.resource_changes), outputs)

    def up_fails(self, program: Program) -> str:
        """``pulumi up`` that has to fail; returns what the user sees."""
        return _failing(lambda: self.up(program))

    def preview(self, program: Program) -> Run:
        """``pulumi preview``."""
        result = self._stack.preview(program=program, color="never")
        return Run(result.stdout + result.stderr, _counts(result.change_summary), {})

    def preview_fails(self, program: Program) -> str:
        """``pulumi preview`` that has to fail; returns what the user sees."""
        return _failing(lambda: self.preview(program))

    def refresh(self) -> Run:
        """``pulumi refresh``."""
        result = self._stack.refresh(color="never", show_secrets=False)
        return Run(result.stdout + result.stderr, _counts(result.summary.resource_changes), {})

    def refresh_fails(self) -> str:
        """``pulumi refresh`` that has to fail; returns what the user sees."""
        return _failing(self.refresh)

    def destroy(self) -> Run:
        """``pulumi destroy``."""
        result = self._stack.destroy(color="never", show_secrets=False)
        return Run(result.stdout + result.stderr, _counts(result.summary.resource_changes), {})

    def destroy_fails(self) -> str:
        """``pulumi destroy`` that has to fail; returns what the user sees."""
        return _failing(self.destroy)

    def cancel_pending(self) -> None:
        """Clear the lock that a killed CLI left."""
        self._stack.cancel()

    def export(self) -> str:
        """``pulumi stack export`` as a user runs it, without ``--show-secrets``."""
        command = ["pulumi", "stack", "export", "--stack", STACK]
        return subprocess.run(
            command, cwd=self.directory, env=self.environment, capture_output=True, text=True, check=True
        ).stdout

    def resources(self) -> dict[str, dict[str, Any]]:
        """Kiln's resources in the state by logical name."""
        entries = json.loads(self.export())["deployment"].get("resources", [])
        return {entry["urn"].rpartition("::")[2]: entry for entry in entries if entry["type"].startswith("kiln:index:")}

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the CLI."""
        import os

        return {**os.environ, **environment(self.directory)}


def _counts(changes: OpMap | None) -> dict[str, int]:
    """The changes by their plain names, without those that occur in no resource."""
    return {str(getattr(kind, "value", kind)): count for kind, count in (changes or {}).items() if count}


def _nothing() -> None:
    """The program of a stack before the first one is run."""


def _failing(run: Callable[[], Run]) -> str:
    try:
        run()
    except errors.CommandError as error:
        return str(error)
    raise AssertionError("the command succeeded")
