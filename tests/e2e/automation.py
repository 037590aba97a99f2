"""The Automation API on a state that is a directory.

After each command it runs the CLI up to three times more, for the outputs, with and without secrets, and for what the
command changed. Most of that is in files, and each run of the CLI takes half a second of processor time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pulumi import automation as auto
from pulumi.automation import UpdateSummary
from pulumi.automation._stack import StackInitMode  # which its public name does not have


class LocalStack(auto.Stack):
    """The stack ``name`` of the project in ``directory``, made if it is not there. ``state`` is the directory of the
    backend, ``env`` the environment of the CLI."""

    def __init__(self, name: str, directory: Path, state: Path, env: Mapping[str, str]) -> None:
        self._state = state / ".pulumi"
        workspace = auto.LocalWorkspace(work_dir=str(directory), env_vars=dict(env))
        super().__init__(name, workspace, StackInitMode.CREATE_OR_SELECT)

    def outputs(self) -> auto.OutputMap:
        """The stack's outputs; the CLI is asked where there are any, since some may be secret."""
        (file,) = (self._state / "stacks").rglob(f"{self.name}.json")
        latest = json.loads(file.read_text())["checkpoint"]["latest"]
        roots = [one for one in latest.get("resources") or () if one["type"] == "pulumi:pulumi:Stack"]
        return super().outputs() if any(root.get("outputs") for root in roots) else {}

    def history(
        self, page_size: int | None = None, page: int | None = None, show_secrets: bool = True
    ) -> list[UpdateSummary]:
        """The newest command, whatever is asked for, without its configuration."""
        files = (self._state / "history").rglob(f"{self.name}-*.history.json")
        return [_summary(json.loads(max(files, key=lambda file: file.name).read_text()))]


def _summary(told: Mapping[str, Any]) -> UpdateSummary:
    return UpdateSummary(
        kind=told["kind"],
        start_time=datetime.fromtimestamp(told["startTime"], UTC),
        end_time=datetime.fromtimestamp(told["endTime"], UTC),
        message=told["message"],
        environment=told["environment"],
        config={},
        result=told["result"],
        version=told.get("version"),
        deployment=None,
        resource_changes=told.get("resourceChanges"),
    )
