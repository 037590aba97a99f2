"""Programs run by the real Pulumi CLI through the Automation API, timed from the CLI's start to its end.

The Automation API asks the CLI for outputs and history after each command. That is not what a user waits for, so only
the command itself is timed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi import automation

from bench.scratch import Scratch
from tools.pulumi_cli import ensure_cli

Program = Callable[[str], None]
"""Declares resources of the package it is given (``kiln`` or ``noop``)."""

STACK = "bench"


class TimedCommand(automation.PulumiCommand):
    """The CLI, and how many seconds each command took last."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = {}

    def run(self, args: list[str], *rest: Any, **named: Any) -> automation.CommandResult:
        """Run the CLI with ``args``."""
        begun = time.perf_counter()
        try:
            return super().run(args, *rest, **named)
        finally:
            command = next(argument for argument in args if not argument.startswith("-"))
            self.seconds[command] = time.perf_counter() - begun


@dataclass(frozen=True)
class Plugin:
    """A provider plugin by the package it serves and the directory its executable lies in."""

    package: str
    directory: Path

    @property
    def executable(self) -> Path:
        """The program that the engine starts."""
        return self.directory / f"pulumi-resource-{self.package}"


def kiln_plugin() -> Plugin:
    """Kiln's own plugin, the console script of this environment."""
    return Plugin("kiln", Path(sys.executable).parent)


def noop_plugin(scratch: Scratch) -> Plugin:
    """The no-op plugin, started as a console script is."""
    directory = scratch.directory / "noop"
    directory.mkdir(exist_ok=True)
    plugin = Plugin("noop", directory)
    root = Path(__file__).resolve().parent.parent
    lines = ["import sys", f"sys.path.insert(0, {str(root)!r})", "from bench.noop.server import main", "main()"]
    plugin.executable.write_text("\n".join([f"#!{sys.executable}", *lines, ""]))
    plugin.executable.chmod(0o755)
    return plugin


@contextmanager
def attached(plugin: Plugin, port: str) -> Iterator[None]:
    """Let runs of the CLI use the plugin that serves on ``port`` in place of starting one."""
    os.environ["PULUMI_DEBUG_PROVIDERS"] = f"{plugin.package}:{port}"
    try:
        yield
    finally:
        del os.environ["PULUMI_DEBUG_PROVIDERS"]


class Project:
    """A program with a local state of its own, gone with the scratch directory it lies in."""

    def __init__(self, directory: Path, plugin: Plugin, program: Program, config: Mapping[str, str]) -> None:
        self._command = _command()
        state = directory / "state"
        state.mkdir()
        document = {
            "name": "bench",
            "runtime": "python",
            "backend": {"url": state.as_uri()},
            "plugins": {"providers": [{"name": plugin.package, "path": str(plugin.directory)}]},
        }
        (directory / "Pulumi.json").write_text(json.dumps(document))
        workspace = automation.LocalWorkspace(
            work_dir=str(directory),
            program=lambda: program(plugin.package),
            env_vars=ENVIRONMENT | {"PULUMI_HOME": str(directory / "home")},
            pulumi_command=self._command,
        )
        self._stack = automation.Stack.create(STACK, workspace)
        values = {f"{plugin.package}:{key}": automation.ConfigValue(value) for key, value in config.items()}
        self._stack.set_all_config(values)

    def up(self) -> float:
        """Make the program's resources real; returns the seconds it took."""
        self._stack.up()
        return self._command.seconds["up"]

    def destroy(self) -> float:
        """Delete all resources; returns the seconds it took."""
        self._stack.destroy()
        return self._command.seconds["destroy"]

    def refresh(self) -> float:
        """Read every resource; returns the seconds it took. Raises RuntimeError when anything was seen to differ."""
        changes = self._stack.refresh().summary.resource_changes or {}
        if set(changes) - {"same"}:
            raise RuntimeError(f"refresh saw changes where there are none: {changes}")
        return self._command.seconds["refresh"]


ENVIRONMENT = {"PULUMI_CONFIG_PASSPHRASE": "bench", "PULUMI_SKIP_UPDATE_CHECK": "1", "NO_COLOR": "1"}


def resource(package: str, kind: str, name: str, **properties: Any) -> pulumi.CustomResource:
    """Declare a resource. No SDK stands between, so that both sides run one program."""
    return pulumi.CustomResource(f"{package}:index:{kind}", name, properties)


def _command() -> TimedCommand:
    path = str(ensure_cli().parent)
    if path not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join((path, os.environ["PATH"]))
    return TimedCommand()
