"""An example as a user runs it: a project of its own, ``runtime: python``, the CLI by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.stacks import PLUGIN_DIRECTORY, environment, prepare
from tools.guests import GuestImage

EXAMPLES = Path(__file__).parents[2] / "examples"


class Project:
    """A copy of an example in ``directory``, beside a link to this checkout's virtual environment.

    ``names`` is what the names of its objects begin with, ``pool`` its storage pool; commands run below ``prefix``.
    """

    def __init__(
        self,
        directory: Path,
        example: str,
        *,
        names: str,
        pool: str,
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory / "examples" / example
        self._prefix = list(prefix)
        self._environment = {**os.environ, **environment(directory), **(env or {})}
        self._config = {"pulumi:autonaming": {"pattern": f"{names}-${{name}}"}, "kiln:storagePool": pool}
        shutil.copytree(
            EXAMPLES / example, self.directory, ignore=shutil.ignore_patterns("Pulumi.*.yaml", "__pycache__")
        )
        (directory / ".venv").symlink_to(PLUGIN_DIRECTORY.parent)
        prepare(directory)

    def init(self, config: Mapping[str, Any]) -> None:
        """Make the stack with this configuration."""
        document = {"config": {**self._config, **config}}
        (self.directory / "Pulumi.test.yaml").write_text(json.dumps(document))
        self.pulumi("stack", "init", "test")

    def pulumi(self, *arguments: str) -> str:
        """Run the CLI in the project."""
        return self.run("pulumi", *arguments, "--non-interactive", "--color", "never")

    def run(self, *command: str) -> str:
        """Run a command in the project; returns what it printed. Raises AssertionError when it fails."""
        answer = subprocess.run(
            [*self._prefix, *command],
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout


def first_server(guest: GuestImage) -> dict[str, str]:
    """The configuration of ``01-first-server`` with this guest."""
    return {
        "kiln-demo:rootImage": str(guest.disk),
        "kiln-demo:kernel": str(guest.kernel),
        "kiln-demo:initrd": str(guest.initrd),
        "kiln-demo:cmdline": guest.cmdline,
    }
