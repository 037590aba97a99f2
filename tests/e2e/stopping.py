"""A plugin that stops at chosen steps until it is let go on: Kiln's own, by a launcher that a project names.

Each operation is handed an observer of its own, which knows whose operation it is. A point is a number: 0 is before the
first step of an operation, n after its n-th step, which is before the next one if there is one.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kiln.app import KilnProvider
from kiln.framework.context import Context
from kiln.framework.resource import AnyResource

from tests.e2e.inline import PYTHONPATH

VERBS = ("create", "update", "delete")


class Stopping:
    """The launcher in ``directory``, under the name that the engine looks for; what its plugin is told and tells."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        launcher = directory / "pulumi-resource-kiln"
        path = PYTHONPATH.split(os.pathsep)
        launcher.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path[:0] = {path!r}\n"
            f"from tests.e2e.stopping import main\nmain({str(directory)!r})\n"
        )
        launcher.chmod(0o755)
        (directory / "held").mkdir()
        self.aim({})

    def aim(self, points: Mapping[str, int]) -> None:
        """In the next run stop the operation of each resource, by its logical name, at its point."""
        for file in (self._seen, self._go, *self._held.iterdir()):
            file.unlink(missing_ok=True)
        (self.directory / "aim").write_text(json.dumps(dict(points)))

    def let_go(self) -> None:
        """Stop nobody any more."""
        self._go.touch()

    def held(self) -> set[str]:
        """The names of the resources whose operations have stopped."""
        return {file.name for file in self._held.iterdir() if not file.name.startswith(".")}

    def processes(self) -> tuple[int, int]:
        """The pids of the plugin that has stopped, and of its engine."""
        plugin, engine = next(self._held.iterdir()).read_text().split()
        return int(plugin), int(engine)

    def steps(self) -> dict[str, list[str]]:
        """The steps of the last run by the names of resources."""
        seen: dict[str, list[str]] = {}
        for line in self._seen.read_text().splitlines() if self._seen.exists() else []:
            name, step = json.loads(line)
            seen.setdefault(name, []).append(step)
        return seen

    @property
    def _held(self) -> Path:
        return self.directory / "held"

    @property
    def _go(self) -> Path:
        return self.directory / "go"

    @property
    def _seen(self) -> Path:
        return self.directory / "seen"


class _Observer:
    """In the plugin: sees the steps of one operation of the resource ``name``."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name = directory, name
        self._point: int | None = json.loads((directory / "aim").read_text()).get(name)
        self._passed = 0

    def before(self, step: str) -> None:
        if self._passed == 0:
            self._stop()
        with (self._directory / "seen").open("a") as seen:
            seen.write(json.dumps([self._name, step]) + "\n")

    def after(self, step: str) -> None:
        self._passed += 1
        self._stop()

    def _stop(self) -> None:
        go = self._directory / "go"
        if self._passed != self._point or go.exists():
            return
        entry = self._directory / "held" / self._name
        new = entry.with_name("." + self._name)
        new.write_text(f"{os.getpid()} {os.getppid()}")
        new.rename(entry)
        while not go.exists():
            time.sleep(0.02)


class _Observed(KilnProvider):
    """Kiln's provider, whose operations are observed."""

    directory: Path

    def configure(self, config: Any) -> None:
        super().configure(config)
        for resource in self.resources.values():
            self._observe(resource)

    def _observe(self, resource: AnyResource) -> None:
        for verb in VERBS:
            setattr(resource, verb, self._observing(getattr(resource, verb)))

    def _observing(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def operation(ctx: Context, *args: Any) -> Any:
            observer = _Observer(self.directory, ctx.urn.rpartition("::")[2])
            return method(replace(ctx, observer=observer), *args)

        return operation


def main(directory: str) -> None:
    """What the console script of the plugin does, observed."""
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    from kiln.hosts.pulumi.main import run

    _Observed.directory = Path(directory)
    status = run(_Observed, sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)
