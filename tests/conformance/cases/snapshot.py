"""Snapshot: of a guest that runs, with its memory, and of one that is off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kiln.framework.context import Context
from kiln.framework.model import Impact
from kiln.resources.snapshot import Snapshot

from tests.conformance.case import Case, Change, Drift
from tests.conformance.world import ALIAS, OTHER, URI, World


def running(world: World, power: str = "running") -> dict[str, Any]:
    image = world.create("Image", "base", source=world.raw())
    data = world.create("Disk", "data", size="1MiB")
    web = world.create("Server", "web", image=image.id, disks=[data.id], powerState=power)
    return {
        "name": "it",
        "server": web.id,
        "node": URI,
        "memory": power == "running",
        "description": "the first",
        "revert": "never",
    }


def stopped(world: World) -> dict[str, Any]:
    return running(world, "stopped")


def is_described(world: World, id: str) -> None:
    """What `virsh snapshot-edit` does."""
    found = world.here.snapshots.known[key(id)]
    found.told = replace(found.told, description="theirs")


def vanish(world: World, id: str) -> None:
    world.here.snapshots.delete(Context(), *key(id))


def key(id: str) -> tuple[str, str]:
    guest, _, name = id.partition("/")
    return guest, name


RUNNING = Case(
    name="snapshot",
    resource=Snapshot,
    prepare=running,
    changes=(
        Change({"name": "other"}, Impact.REPLACE),
        Change({"server": "99999999-9999-4999-8999-999999999999"}, Impact.REPLACE),
        Change({"node": ALIAS}, Impact.LIVE),
        Change({"node": OTHER}, Impact.REPLACE),
        Change({"memory": None}, None),
        Change({"description": "other"}, Impact.LIVE),
        Change({"description": None}, Impact.LIVE),
        Change({"revert": "now"}, Impact.RESTART),
        Change({"revert": None}, Impact.LIVE),
    ),
    drifts=(Drift("description", is_described, "theirs"),),
    unseen={
        "name": "a snapshot cannot be renamed",
        "server": "it is in the id",
        "node": "how the machine is reached",
        "memory": "what it holds never changes",
        "revert": "what Kiln does, which is in the state alone",
    },
    import_id="web/it",
    untold={"revert": "what Kiln did, which is in the state alone"},
    vanishes=vanish,
)

STOPPED = replace(RUNNING, name="snapshot_of_disks_alone", prepare=stopped)
