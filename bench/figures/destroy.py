"""``destroy-50``: ``pulumi destroy`` of an image and 50 guests that are off, against no-op resources and a bare script.

They are off since a guest that runs is given time to shut down by itself, which is not Kiln's to shorten.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.bare.run import carry_out
from bench.bare.template import Template
from bench.engine import Project, kiln_plugin, noop_plugin
from bench.figures.servers import Stage
from bench.measure import Figure, Sides, Tell
from bench.node import URI, connected, guests, network, pool
from bench.programs import Names, Site
from bench.scratch import Scratch
from tools.guests import tiny

COUNT = 50


@contextmanager
def sides(scratch: Scratch, tell: Tell) -> Iterator[Sides]:
    """What is destroyed is made anew for each measurement, which is not timed."""
    disk = tiny.ensure(tell).disk
    with connected(scratch) as connection, network(connection, scratch) as net:
        stage = Stage(scratch, connection, Site(Names(scratch.prefix), disk, net), COUNT, on=False)
        tell("destroy-50: both sides once, to warm up")
        template = stage.learn()
        both = Sides(ours=lambda: _ours(stage), floor=lambda: _noop(stage) + _bare(stage, template))
        both.ours()
        both.floor()
        yield both


def _ours(stage: Stage) -> float:
    with pool(stage.connection, stage.scratch) as storage:
        project = _project(stage, noop=False)
        project.up()
        seconds = project.destroy()
        _require_none(stage, storage)
    return seconds


def _noop(stage: Stage) -> float:
    project = _project(stage, noop=True)
    project.up()
    return project.destroy()


def _bare(stage: Stage, template: Template) -> float:
    names = stage.site.names.guests(COUNT, "b")
    prefix = stage.scratch.prefix
    with pool(stage.connection, stage.scratch) as storage:
        carry_out(template.plan(URI, prefix, names, start=False), stage.scratch)
        seconds = carry_out({"do": "remove", "uri": URI, "pool": prefix, "names": names}, stage.scratch)
        _require_none(stage, storage)
    return seconds


def _project(stage: Stage, *, noop: bool) -> Project:
    plugin = noop_plugin(stage.scratch) if noop else kiln_plugin()
    program = stage.site.servers(COUNT, running=False)
    return Project(stage.scratch.subdirectory("project"), plugin, program, stage.site.config)


def _require_none(stage: Stage, storage: Any) -> None:
    left = guests(stage.connection, stage.scratch.prefix, on=False), len(storage.listAllVolumes())
    if left != (0, 0):
        raise RuntimeError(f"{left[0]} guests and {left[1]} volumes are left")


FIGURE = Figure("destroy-50", "s", 1.1, sides)
