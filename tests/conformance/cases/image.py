"""Image: content that never changes, with a kernel beside it."""

from __future__ import annotations

import hashlib
from typing import Any

from kiln.framework.context import Context
from kiln.framework.model import Impact
from kiln.ports.volumes import VolumeRef
from kiln.resources.image import Image

from tests.conformance.case import Case, Change
from tests.conformance.cases.place import PLACE
from tests.conformance.world import URI, World
from tests.unit.transfer.images import Qcow2

RAW = b"disk".ljust(1 << 20, b"\1")
QCOW2 = Qcow2().build()
IMMUTABLE = "an image's content and name never change; what is said about it is in the state alone"


def checksum(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def prepare(world: World) -> dict[str, Any]:
    world.create("Disk", "apart", size="1MiB")
    for name, content in {
        "it.raw": RAW, "new.qcow2": QCOW2, "kernel": b"k", "initrd": b"i", "kernel-2": b"K", "initrd-2": b"I",
    }.items():  # fmt: skip
        (world.files / name).write_bytes(content)
    return {
        "name": "it",
        "node": URI,
        "pool": "kiln",
        "source": "it.raw",
        "checksum": checksum(RAW),
        "format": "raw",
        "architecture": "x86_64",
        "version": "1",
        "description": "the first",
        "kernel": "kernel",
        "initrd": "initrd",
        "cmdline": "quiet",
    }


def vanish(world: World, id: str) -> None:
    world.here.volumes.delete(Context(), VolumeRef("kiln", "it"))


IMAGE = Case(
    name="image",
    resource=Image,
    prepare=prepare,
    changes=(
        *PLACE,
        Change(
            {"source": "new.qcow2", "checksum": checksum(QCOW2), "format": "qcow2"},
            Impact.REPLACE,
            ("source", "format"),
        ),
        Change({"checksum": checksum(RAW, "sha512")}, None),
        Change({"format": None}, None),
        Change({"architecture": None}, None),
        Change({"version": "2"}, Impact.LIVE),
        Change({"description": None}, Impact.LIVE),
        Change({"kernel": "kernel-2"}, Impact.REPLACE),
        Change({"initrd": "initrd-2"}, Impact.REPLACE),
        Change({"cmdline": "debug"}, Impact.REPLACE),
    ),
    drifts=(),
    unseen={
        "name": "it is the id",
        "node": "how the machine is reached",
        "pool": "it is in the id",
        **dict.fromkeys(
            ("source", "checksum", "format", "architecture", "version", "description", "kernel", "initrd", "cmdline"),
            IMMUTABLE,
        ),
    },
    import_id="kiln/it",
    untold={},
    vanishes=vanish,
)
