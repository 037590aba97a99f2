"""Disks that are moved to another pool, name or format: each way, whoever has them."""

from __future__ import annotations

from typing import Any

from tests.faults.node import ATTIC, FaultyWorld
from tests.faults.scenarios.servers import Maker, nothing
from tests.faults.stack import Program
from tests.faults.sweep import Scenario
from tests.unit.resources.world import POOL


def disk(**inputs: Any) -> Maker:
    """A program with a disk with these inputs."""

    def program(world: FaultyWorld) -> Program:
        return {"disk": ("Disk", {"size": "1MiB", **inputs})}

    return program


def used(power: str, **inputs: Any) -> Maker:
    """The same with a server that has the disk."""

    def program(world: FaultyWorld) -> Program:
        server = {"disks": ["kiln/disk"], "networks": [], "powerState": power, "memory": "64MiB"}
        return {**disk(**inputs)(world), "web": ("Server", server)}

    return program


def linked(**inputs: Any) -> Maker:
    """The same without a server, and the disk is an overlay of an image."""
    return disk(image="kiln/base", **inputs)


MOVED = {"pool": ATTIC}
ANNOUNCED = "after step announce move"
SWITCHED = "after step switch guests"

SCENARIOS = {
    "pool": Scenario(disk(), disk(**MOVED), kept=("disk",)),
    "name": Scenario(disk(), disk(name="other"), kept=("disk",)),
    "format": Scenario(disk(), disk(format="raw"), kept=("disk",)),
    "pool-format-and-size": Scenario(disk(), disk(**MOVED, format="raw", size="4MiB"), kept=("disk",)),
    "overlay": Scenario(linked(), linked(**MOVED), kept=("disk",)),
    "back": Scenario(disk(**MOVED), disk(pool=POOL), first=disk()),
    "delete-moved": Scenario(disk(**MOVED), nothing, first=disk()),
    "retain-moved": Scenario(disk(**MOVED, deletionPolicy="retain"), nothing, first=disk(deletionPolicy="retain")),
    "under-running": Scenario(used("running"), used("running", **MOVED), kept=("disk",)),
    "under-stopped": Scenario(used("stopped"), used("stopped", **MOVED), kept=("disk",)),
    "format-under-running": Scenario(used("running"), used("running", format="raw"), kept=("disk",)),
    "killed-and-wanted-no-more": Scenario(disk(), disk(size="4MiB"), kept=("disk",), killed=(disk(**MOVED), ANNOUNCED)),
    "killed-and-refreshed": Scenario(
        disk(), disk(**MOVED), kept=("disk",), killed=(disk(**MOVED), ANNOUNCED), refreshed=True
    ),
    "killed-after-the-switch": Scenario(
        used("running"), used("running", **MOVED), kept=("disk",), killed=(used("running", **MOVED), SWITCHED)
    ),
    "killed-before-the-old-one-went": Scenario(
        disk(), disk(**MOVED), kept=("disk",), killed=(disk(**MOVED), "before step delete old volume")
    ),
    "killed-on-the-way-back": Scenario(
        disk(**MOVED), disk(**MOVED, size="4MiB"), first=disk(), killed=(disk(pool=POOL), "after step copy disk")
    ),
    "killed-before-the-switch-and-refreshed": Scenario(
        used("stopped"),
        used("stopped"),
        kept=("disk",),
        killed=(used("stopped", **MOVED), ANNOUNCED),
        refreshed=True,
    ),
    "killed-and-deleted": Scenario(disk(), nothing, killed=(disk(**MOVED), ANNOUNCED)),
}
