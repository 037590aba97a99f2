"""A stack of toys, served to the real CLI by the real hosts; no libvirt is involved."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pulumi
from pulumi import automation as auto

from tests.e2e.stacks import STACK, environment, prepare

ROOT = Path(__file__).parents[2]
PROJECT = "toys"
PYTHONPATH = os.pathsep.join([str(ROOT / "provider"), str(ROOT)])
Program = Callable[[], None]


class Thing(pulumi.CustomResource):
    """A toy thing, as a generated SDK would declare it, with Pulumi's names."""

    serial: pulumi.Output[str]
    weight: pulumi.Output[int]

    def __init__(self, resource_name: str, opts: pulumi.ResourceOptions | None = None, **inputs: Any) -> None:
        outputs = {"serial": None, "weight": None, "initialSecret": None}
        super().__init__("toy:index:Thing", resource_name, {**outputs, **inputs}, opts)


class ToyStack:
    """One stack with the toy plugin; the things are in the file ``world``."""

    def __init__(self, directory: Path, settings: dict[str, Any] | None = None, **extra: str) -> None:
        prepare(directory)
        self.directory, self.world = directory, directory / "world.json"
        self.environment = {**environment(directory), "PYTHONPATH": PYTHONPATH, **extra}
        project = {
            "name": PROJECT,
            "runtime": "python",
            "plugins": {"providers": [{"name": "toy", "path": str(_launcher(directory))}]},
            "config": {
                "toy:must": {"value": "yes"},
                "toy:world": {"value": str(self.world)},
                **{key: {"value": value} for key, value in (settings or {}).items()},
            },
        }
        (directory / "Pulumi.yaml").write_text(json.dumps(project))
        options = auto.LocalWorkspaceOptions(work_dir=str(directory), env_vars=self.environment)
        self.stack = auto.create_or_select_stack(STACK, project_name=PROJECT, program=lambda: None, opts=options)

    def up(self, program: Program) -> str:
        """``pulumi up``; returns what the user sees."""
        result = self.stack.up(program=program, color="never")
        return result.stdout + result.stderr

    def up_fails(self, program: Program) -> str:
        """``pulumi up`` that has to fail; returns what the user sees."""
        with _abandoned_program():
            try:
                self.up(program)
            except auto.errors.CommandError as error:
                return str(error)
        raise AssertionError("the command succeeded")

    def preview(self, program: Program) -> tuple[dict[str, int], str]:
        """What ``pulumi preview`` says will change, and its text."""
        result = self.stack.preview(program=program, color="never", diff=True)
        changes = {str(getattr(kind, "value", kind)): n for kind, n in result.change_summary.items() if n}
        changes.pop("same", None)
        return changes, result.stdout + result.stderr

    def refresh(self, program: Program) -> str:
        """``pulumi refresh``; returns what the user sees."""
        self.stack.workspace.program = program
        result = self.stack.refresh(color="never", show_secrets=False)
        return result.stdout + result.stderr

    def destroy(self) -> None:
        """``pulumi destroy``."""
        self.stack.destroy(color="never", show_secrets=False)

    def export(self) -> str:
        """The state as ``pulumi stack export`` shows it, secrets encrypted."""
        command = ["pulumi", "stack", "export", "--stack", STACK]
        everything = {**os.environ, **self.environment}
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


@contextmanager
def _abandoned_program() -> Iterator[None]:
    """The Automation API drops the coroutine of an inline program whose run failed; collect it without a complaint."""
    try:
        yield
    finally:
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        try:
            gc.collect()
        finally:
            sys.unraisablehook = hook


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
