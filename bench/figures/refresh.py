"""``refresh-100``: ``pulumi refresh`` of 100 guests that do not run, against the same program on no-op resources."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.engine import Project, kiln_plugin, noop_plugin
from bench.measure import Figure, Sides, Tell
from bench.node import connected, network, pool
from bench.programs import Names, Site
from bench.scratch import Scratch
from tools.guests import tiny

COUNT = 100


@contextmanager
def sides(scratch: Scratch, tell: Tell) -> Iterator[Sides]:
    """Both programs made real once; each refresh must see that nothing changed."""
    disk = tiny.ensure(tell).disk
    with connected(scratch) as connection, network(connection, scratch) as name, pool(connection, scratch):
        site = Site(Names(scratch.prefix), disk, name)
        program = site.servers(COUNT, running=False)
        tell(f"refresh-100: making {COUNT} guests")
        ours = Project(scratch.subdirectory("ours"), kiln_plugin(), program, site.config)
        ours.up()
        floor = Project(scratch.subdirectory("floor"), noop_plugin(scratch), program, site.config)
        floor.up()
        both = Sides(ours=ours.refresh, floor=floor.refresh)
        both.ours()
        both.floor()
        yield both


FIGURE = Figure("refresh-100", "s", 1.5, sides, repeat=2)
