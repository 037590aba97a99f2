"""A stack of toys, served to the real CLI by the real hosts; no libvirt is involved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e import inline
from tests.e2e.inline import PYTHONPATH, Answer
from tests.e2e.stacks import STACK, environment, prepare

PROJECT = "toys"


class ToyStack:
    """One stack with the toy plugin; the things are in the file ``world``.

    Programs are functions of ``toy_programs``, given by name; ``one`` declares one thing called "one".
    """

    def __init__(self, directory: Path, settings: dict[str, Any] | None = None, **extra: str) -> None:
        prepare(directory)
        self.directory, self.world = directory, directory / "world.json"
        self._environment = {**environment(directory), **extra}
        config = {"toy:must": "yes", "toy:world": str(self.world), **(settings or {})}
        project = {
            "name": PROJECT,
            "runtime": "python",
            "plugins": {"providers": [{"name": "toy", "path": str(_launcher(directory))}]},
            "config": {key: {"value": value} for key, value in config.items()},
        }
        (directory / "Pulumi.yaml").write_text(json.dumps(project))

    def up(self, program: str = "one", **inputs: Any) -> Answer:
        """``pulumi up``, which must succeed."""
        return self._succeed("up", program, inputs)

    def up_fails(self, program: str = "one", **inputs: Any) -> str:
        """``pulumi up`` that has to fail; returns what the user sees."""
        answer = self._run("up", program, inputs)
        assert answer.failed, answer.text
        return answer.text

    def preview(self, program: str = "one", **inputs: Any) -> Answer:
        """``pulumi preview --diff``, which must succeed."""
        return self._succeed("preview", program, inputs)

    def refresh(self) -> Answer:
        """``pulumi refresh``, which must succeed."""
        return self._succeed("refresh", "nothing", {})

    def destroy(self) -> None:
        """``pulumi destroy``, which must succeed."""
        self._succeed("destroy", "nothing", {})

    def export(self) -> str:
        """The state as ``pulumi stack export`` shows it, secrets encrypted."""
        command = ["pulumi", "stack", "export", "--stack", STACK]
        everything = {**os.environ, **self._environment}
        return subprocess.run(
            command, cwd=self.directory, env=everything, capture_output=True, text=True, check=True
        ).stdout

    def state(self, name: str) -> dict[str, Any]:
        """The entry of one resource in the state."""
        entries = json.loads(self.export())["deployment"]["resources"]
        [found] = [entry for entry in entries if entry["urn"].endswith(f"::{name}")]
        assert isinstance(found, dict)
        return found

    def things(self) -> dict[str, Any]:
        """The things there are."""
        found = json.loads(self.world.read_text()) if self.world.exists() else {}
        assert isinstance(found, dict)
        return found

    def _succeed(self, verb: str, program: str, inputs: dict[str, Any]) -> Answer:
        answer = self._run(verb, program, inputs)
        assert not answer.failed, answer.text
        return answer

    def _run(self, verb: str, program: str, inputs: dict[str, Any]) -> Answer:
        function = f"tests.e2e.toy_programs:{program}"
        return inline.run(verb, self.directory, PROJECT, function, inputs, self._environment)


def toy_command() -> list[str]:
    """The command that serves the toys."""
    return [sys.executable, "-m", "tests.hosts.toy"]


def _launcher(directory: Path) -> Path:
    """A directory with the plugin's executable, as ``plugins.providers[].path`` wants it."""
    binary = directory / "bin" / "pulumi-resource-toy"
    binary.parent.mkdir(exist_ok=True)
    binary.write_text(f'#!/bin/sh\nPYTHONPATH="{PYTHONPATH}" exec {" ".join(toy_command())} "$@"\n')
    binary.chmod(0o755)
    return binary.parent
