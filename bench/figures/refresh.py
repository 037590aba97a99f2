"""``refresh-100``: ``pulumi refresh`` of 100 guests that do not run, against the same program on no-op resources.
``refresh-500``: of 500 guests and 500 disks, against that and a script that reads them all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from bench.bare.run import carry_out
from bench.engine import Project, kiln_plugin, noop_plugin
from bench.measure import Figure, Sides, Tell
from bench.node import URI, connected, network, pool
from bench.programs import Names, Site
from bench.scratch import Scratch
from tools.guests import tiny


@dataclass(frozen=True)
class Size:
    """How much there is to read, and whether the floor adds to the no-op program what reading it costs at least."""

    guests: int
    disks: int
    bare: bool


@contextmanager
def sides(scratch: Scratch, tell: Tell, *, name: str, size: Size) -> Iterator[Sides]:
    """Both programs made real once; each refresh must see that nothing changed."""
    disk = tiny.ensure(tell).disk
    with connected(scratch) as connection, network(connection, scratch) as net, pool(connection, scratch):
        site = Site(Names(scratch.prefix), disk, net)
        program = site.mixture(1, size.disks, size.guests)
        tell(f"{name}: making {size.guests} guests and {size.disks} disks")
        ours = Project(scratch.subdirectory("ours"), kiln_plugin(), program, site.config)
        ours.up()
        noop = Project(scratch.subdirectory("floor"), noop_plugin(scratch), program, site.config)
        noop.up()

        def floor() -> float:
            plan = {"do": "read", "uri": URI, "pool": scratch.prefix}
            return noop.refresh() + (carry_out(plan, scratch) if size.bare else 0.0)

        both = Sides(ours=ours.refresh, floor=floor)
        both.ours()
        both.floor()
        yield both


def _figure(name: str, target: float, size: Size, repeat: int = 1) -> Figure:
    return Figure(name, "s", target, partial(sides, name=name, size=size), repeat)


FIGURES = (
    _figure("refresh-100", 1.5, Size(guests=100, disks=0, bare=False), repeat=2),
    _figure("refresh-500", 1.3, Size(guests=500, disks=500, bare=True)),
)
