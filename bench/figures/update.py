"""``update-live-20``: ``pulumi up`` that gives 20 running guests memory, against no-op resources and a bare script.

Each measurement gives them one module more; a guest takes sixteen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.bare.run import carry_out
from bench.bare.template import capture
from bench.engine import Project, kiln_plugin, noop_plugin
from bench.measure import Figure, Sides, Tell
from bench.node import URI, connected, network, pool
from bench.programs import Names, Site
from bench.scratch import Scratch
from tools.guests import tiny

COUNT = 20
MODULE = 128
"""MiB, the size in which a running guest's memory grows."""
MOST = "4GiB"


class Growing:
    """A program whose guests get more memory with each run."""

    def __init__(self, scratch: Scratch, directory: str, site: Site, *, noop: bool) -> None:
        self._modules = 1
        plugin = noop_plugin(scratch) if noop else kiln_plugin()
        program = site.growing(COUNT, lambda: f"{self._modules * MODULE}MiB", MOST)
        self._project = Project(scratch.subdirectory(directory), plugin, program, site.config)
        self._project.up()

    def grow(self) -> float:
        """Seconds of ``pulumi up`` with one module more for each guest."""
        self._modules += 1
        return self._project.up()


@contextmanager
def sides(scratch: Scratch, tell: Tell) -> Iterator[Sides]:
    """Guests that Kiln made, and as many that the bare script made from their definition."""
    disk = tiny.ensure(tell).disk
    with connected(scratch) as connection, network(connection, scratch) as net, pool(connection, scratch) as storage:
        site = Site(Names(scratch.prefix), disk, net)
        tell(f"update-live-20: starting twice {COUNT} guests")
        ours = Growing(scratch, "ours", site, noop=False)
        noop = Growing(scratch, "floor", site, noop=True)
        mine, names = site.names.guests(COUNT), site.names.guests(COUNT, "b")
        template = capture(connection, storage, mine[0], mine[1:], scratch.subdirectory("template"))
        carry_out(template.plan(URI, scratch.prefix, names, start=True, base=False), scratch)

        def kiln() -> float:
            before = _running(connection, mine)
            seconds = ours.grow()
            _require_grown(before, _running(connection, mine))
            return seconds

        def floor() -> float:
            before = _running(connection, names)
            plan = {"do": "grow", "uri": URI, "pool": scratch.prefix, "names": names, "module": MODULE * 1024}
            seconds = noop.grow() + carry_out(plan, scratch)
            _require_grown(before, _running(connection, names))
            return seconds

        both = Sides(ours=kiln, floor=floor)
        both.ours()
        both.floor()
        yield both


def _running(connection: Any, names: list[str]) -> dict[int, int]:
    """The memory in KiB of running guests, by the number that each got at its start."""
    found = [connection.lookupByName(name) for name in names]
    return {domain.ID(): domain.maxMemory() for domain in found}


def _require_grown(before: dict[int, int], after: dict[int, int]) -> None:
    if after != {guest: memory + MODULE * 1024 for guest, memory in before.items()}:
        raise RuntimeError(f"running guests had {before} KiB, and have {after} now")


FIGURE = Figure("update-live-20", "s", 1.3, sides)
