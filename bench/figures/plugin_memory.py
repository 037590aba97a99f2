"""``plugin-memory``: the most memory that the plugin had (VmHWM) once it made and read 100 resources.
``plugin-memory-1000``: 500 guests and 500 disks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.engine import Project, attached, kiln_plugin
from bench.measure import Figure, Sides, Tell
from bench.node import connected, network, pool
from bench.programs import Names, Site
from bench.scratch import Scratch
from tools.guests import tiny


@dataclass(frozen=True)
class Size:
    """How many resources, and how many MiB are allowed for them."""

    images: int
    disks: int
    servers: int
    limit: float


@contextmanager
def sides(scratch: Scratch, tell: Tell, *, size: Size) -> Iterator[Sides]:
    """The limit is the floor: there is nothing to measure on that side."""
    disk = tiny.ensure(tell).disk
    with connected(scratch) as connection, network(connection, scratch) as name:
        site = Site(Names(scratch.prefix), disk, name)

        def ours() -> float:
            with pool(connection, scratch):
                return peak(scratch, site, size)

        yield Sides(ours=ours, floor=lambda: size.limit)


def peak(scratch: Scratch, site: Site, size: Size) -> float:
    """MiB at the peak of one plugin that serves an ``up`` and a ``refresh``; it outlives both, to be looked at."""
    plugin = kiln_plugin()
    with subprocess.Popen([plugin.executable], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            with attached(plugin, port):
                program = site.mixture(size.images, size.disks, size.servers)
                project = Project(scratch.subdirectory("project"), plugin, program, site.config)
                project.up()
                project.refresh()
            return high_water_mark(process.pid)
        finally:
            process.terminate()


def high_water_mark(pid: int) -> float:
    """The peak resident set of a process in MiB (``VmHWM``, proc(5))."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc/{pid}/status has no VmHWM")
    return int(found[1]) / 1024


def _figure(name: str, size: Size) -> Figure:
    return Figure(name, "MiB", 1.0, partial(sides, size=size))


FIGURES = (
    _figure("plugin-memory", Size(images=4, disks=48, servers=48, limit=90.0)),
    _figure("plugin-memory-1000", Size(images=1, disks=500, servers=500, limit=200.0)),
)
