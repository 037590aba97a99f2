"""``servers-20``: an image, 20 linked clones of it and 20 started guests, against no-op resources and bare libvirt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.bare.template import Template, capture
from bench.engine import Project, kiln_plugin, noop_plugin
from bench.measure import Figure, Sides, Tell
from bench.node import URI, connected, network, pool, running
from bench.programs import Names, Site
from bench.scratch import Scratch
from tools.guests import tiny

COUNT = 20


@contextmanager
def sides(scratch: Scratch, tell: Tell) -> Iterator[Sides]:
    """A pool for each measurement, and a template of what Kiln makes for the bare script."""
    disk = tiny.ensure(tell).disk
    with connected(scratch) as connection, network(connection, scratch) as name:
        stage = Stage(scratch, connection, Site(Names(scratch.prefix), disk, name))
        tell("servers-20: both sides once, to warm up")
        template = stage.learn()
        stage.floor(template)
        yield Sides(ours=stage.ours, floor=lambda: stage.floor(template))


@dataclass(frozen=True)
class Stage:
    """Where the guests are made."""

    scratch: Scratch
    connection: Any
    site: Site

    def ours(self) -> float:
        """Seconds of ``pulumi up``."""
        with pool(self.connection, self.scratch):
            return self._up()

    def learn(self) -> Template:
        """Make the guests once, and read from the node what was made."""
        with pool(self.connection, self.scratch) as storage:
            self._up()
            first, *others = self.site.names.guests(COUNT)
            return capture(self.connection, storage, first, others, self.scratch.subdirectory("template"))

    def floor(self, template: Template) -> float:
        """Seconds of the same program on no-op resources, and of a script that makes the same."""
        return self.noop() + self.bare(template)

    def noop(self) -> float:
        """Seconds of ``pulumi up`` on no-op resources."""
        plugin = noop_plugin(self.scratch)
        directory = self.scratch.subdirectory("project")
        return Project(directory, plugin, self.site.servers(COUNT, running=True), self.site.config).up()

    def bare(self, template: Template) -> float:
        """Seconds of the bare script, from its start to its end."""
        names = self.site.names.guests(COUNT, "b")
        plan = self.scratch.directory / "plan.json"
        plan.write_text(json.dumps(template.plan(URI, self.scratch.prefix, names, start=True)))
        with pool(self.connection, self.scratch):
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-m", "bench.bare", plan], check=True, env=_environment())
            seconds = time.perf_counter() - begun
            self._require_running()
        return seconds

    def _up(self) -> float:
        directory = self.scratch.subdirectory("project")
        project = Project(directory, kiln_plugin(), self.site.servers(COUNT, running=True), self.site.config)
        seconds = project.up()
        self._require_running()
        return seconds

    def _require_running(self) -> None:
        found = running(self.connection, self.scratch.prefix)
        if found != COUNT:
            raise RuntimeError(f"{found} guests run in place of {COUNT}")


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


FIGURE = Figure("servers-20", "s", 1.25, sides)
