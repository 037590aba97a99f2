"""``plugin-memory``: the most memory that the plugin had (VmHWM) once it made and read 100 resources."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.engine import Project, attached, kiln_plugin
from bench.measure import Figure, Sides, Tell
from bench.node import connected, network, pool
from bench.programs import Names, Site
from bench.scratch import Scratch
from tools.guests import tiny

IMAGES, DISKS, SERVERS = 4, 48, 48
LIMIT_MIB = 90.0


@contextmanager
def sides(scratch: Scratch, tell: Tell) -> Iterator[Sides]:
    """The limit is the floor: there is nothing to measure on that side."""
    disk = tiny.ensure(tell).disk
    with connected(scratch) as connection, network(connection, scratch) as name:
        site = Site(Names(scratch.prefix), disk, name)

        def ours() -> float:
            with pool(connection, scratch):
                return peak(scratch, site)

        yield Sides(ours=ours, floor=lambda: LIMIT_MIB)


def peak(scratch: Scratch, site: Site) -> float:
    """MiB at the peak of one plugin that serves an ``up`` and a ``refresh``; it outlives both, to be looked at."""
    plugin = kiln_plugin()
    with subprocess.Popen([plugin.executable], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            with attached(plugin, port):
                program = site.mixture(IMAGES, DISKS, SERVERS)
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


FIGURE = Figure("plugin-memory", "MiB", 1.0, sides)
