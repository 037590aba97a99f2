"""Disk: cloned from an image, and filled from a file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kiln.framework.context import Context
from kiln.framework.model import Impact
from kiln.ports.volumes import VolumeRef
from kiln.resources.disk import Disk

from tests.conformance.case import Case, Change, Drift
from tests.conformance.world import ALIAS, OTHER, URI, World

REF = VolumeRef("kiln", "it")
ONCE = "says how the disk is made; what it holds is the guest's since"


def clone(world: World) -> dict[str, Any]:
    world.here.volumes.ensure_pool(Context(), "spare", None)
    for name in ("base", "other"):
        world.create("Image", name, source=world.raw(name))
    return {
        "name": "it",
        "node": URI,
        "pool": "kiln",
        "image": "kiln/base",
        "size": "2MiB",
        "format": "qcow2",
        "clone": "linked",
        "deletionPolicy": "delete",
    }


def copy(world: World) -> dict[str, Any]:
    return {**clone(world), "clone": "full"}


def filled(world: World) -> dict[str, Any]:
    world.here.volumes.ensure_pool(Context(), "spare", None)
    world.create("Disk", "apart", size="1MiB")
    world.raw("it.raw")
    (world.files / "new.raw").write_bytes(b"new".ljust(1 << 20, b"\2"))
    return {"name": "it", "node": URI, "pool": "kiln", "source": "it.raw", "size": "2MiB", "format": "raw"}


def shrink(world: World, id: str) -> None:
    """What `qemu-img resize --shrink` does."""
    volumes = world.here.volumes
    volumes._put(replace(volumes.get(Context(), REF), virtual_size=1 << 20))


def grow(world: World, id: str) -> None:
    """What `virsh vol-resize` does."""
    world.here.volumes.grow(Context(), REF, 8 << 20)


def vanish(world: World, id: str) -> None:
    world.here.volumes.delete(Context(), REF)


PLACE = (
    Change({"name": "elsewhere"}, Impact.LIVE),
    Change({"pool": "spare"}, Impact.LIVE),
    Change({"node": ALIAS}, Impact.LIVE),
    Change({"node": OTHER}, Impact.REPLACE),
)
ALWAYS = (
    *PLACE,
    Change({"size": "4MiB"}, Impact.LIVE),
    Change({"size": "2048KiB"}, None),
    Change({"deletionPolicy": "retain"}, Impact.LIVE),
)
UNSEEN = {
    "name": "its mark tells where it is",
    "node": "how the machine is reached",
    "pool": "its mark tells where it is",
    "image": ONCE,
    "source": ONCE,
    "format": ONCE,
    "clone": ONCE,
    "deletionPolicy": "what Kiln does in the end, which is in the state alone",
}

CLONE = Case(
    name="disk",
    resource=Disk,
    prepare=clone,
    changes=(
        *ALWAYS,
        Change({"image": "kiln/other"}, Impact.REPLACE),
        Change({"clone": "full"}, Impact.REPLACE),
        Change({"clone": "auto", "format": "raw"}, Impact.LIVE, paths=("format",)),
        Change({"clone": "auto"}, None),
        Change({"format": None}, None),
    ),
    drifts=(Drift("size", shrink, "1MiB"), Drift("size", grow, "8MiB", refused="cannot shrink from 8MiB")),
    unseen=UNSEEN,
    import_id="kiln/it",
    untold={},
    vanishes=vanish,
)

FULL = replace(
    CLONE,
    name="disk_full_clone",
    prepare=copy,
    changes=(Change({"clone": "linked"}, Impact.REPLACE), Change({"clone": "auto"}, None)),
)

FILLED = Case(
    name="disk_from_file",
    resource=Disk,
    prepare=filled,
    changes=(*PLACE, Change({"source": "new.raw"}, Impact.REPLACE), Change({"format": "qcow2"}, Impact.LIVE)),
    drifts=(Drift("size", shrink, "1MiB"), Drift("size", grow, "8MiB", refused="cannot shrink from 8MiB")),
    unseen=UNSEEN,
    import_id="kiln/it",
    untold={},
    vanishes=vanish,
)
