"""``servers-20``, ``servers-50``, ``servers-200-off``: an image and guests that are linked clones of it, against no-op
resources and bare libvirt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.bare.run import carry_out
from bench.bare.template import Template, capture
from bench.engine import Project, kiln_plugin, noop_plugin
from bench.measure import Figure, Sides, Tell
from bench.node import URI, connected, guests, network, pool
from bench.programs import Names, Site
from bench.scratch import Scratch
from tools.guests import tiny


@dataclass(frozen=True)
class Stage:
    """Where ``count`` guests are made, ``on`` or not."""

    scratch: Scratch
    connection: Any
    site: Site
    count: int
    on: bool

    def ours(self) -> float:
        """Seconds of ``pulumi up``."""
        with pool(self.connection, self.scratch):
            return self._up()

    def learn(self) -> Template:
        """Make the guests once, and read from the node what was made."""
        with pool(self.connection, self.scratch) as storage:
            self._up()
            first, *others = self.site.names.guests(self.count)
            return capture(self.connection, storage, first, others, self.scratch.subdirectory("template"))

    def floor(self, template: Template) -> float:
        """Seconds of the same program on no-op resources, and of a script that makes the same."""
        return self.noop() + self.bare(template)

    def noop(self) -> float:
        """Seconds of ``pulumi up`` on no-op resources."""
        plugin = noop_plugin(self.scratch)
        directory = self.scratch.subdirectory("project")
        return Project(directory, plugin, self.site.servers(self.count, running=self.on), self.site.config).up()

    def bare(self, template: Template) -> float:
        """Seconds of the bare script, from its start to its end."""
        names = self.site.names.guests(self.count, "b")
        plan = template.plan(URI, self.scratch.prefix, names, start=self.on)
        with pool(self.connection, self.scratch):
            seconds = carry_out(plan, self.scratch)
            self._require_all()
        return seconds

    def _up(self) -> float:
        directory = self.scratch.subdirectory("project")
        program = self.site.servers(self.count, running=self.on)
        seconds = Project(directory, kiln_plugin(), program, self.site.config).up()
        self._require_all()
        return seconds

    def _require_all(self) -> None:
        found = guests(self.connection, self.scratch.prefix, on=self.on)
        if found != self.count:
            raise RuntimeError(f"{found} guests in place of {self.count} are {'on' if self.on else 'off'}")


@contextmanager
def sides(scratch: Scratch, tell: Tell, *, name: str, count: int, on: bool) -> Iterator[Sides]:
    """A pool for each measurement, and a template of what Kiln makes for the bare script."""
    disk = tiny.ensure(tell).disk
    with connected(scratch) as connection, network(connection, scratch) as net:
        stage = Stage(scratch, connection, Site(Names(scratch.prefix), disk, net), count, on)
        tell(f"{name}: both sides once, to warm up")
        template = stage.learn()
        stage.floor(template)
        yield Sides(ours=stage.ours, floor=lambda: stage.floor(template))


def _figure(name: str, target: float, *, count: int, on: bool) -> Figure:
    return Figure(name, "s", target, partial(sides, name=name, count=count, on=on))


FIGURES = (
    _figure("servers-20", 1.25, count=20, on=True),
    _figure("servers-50", 1.15, count=50, on=True),
    _figure("servers-200-off", 1.3, count=200, on=False),
)
