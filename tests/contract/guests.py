"""The guests of the contract suite: small, and with a disk that says a word on the console and then halts."""

from __future__ import annotations

import uuid
from typing import Any

from kiln.framework.context import Context
from kiln.platforms.libvirt import payload
from kiln.ports.domains import Console, DiskSpec, DomainSpec
from kiln.ports.marks import Holder, Mark
from kiln.ports.nodes import Node
from kiln.ports.volumes import Chunk, VolumeRef

from tests.fakes.memory import MemoryNode

WORD = payload.TOKEN
MARK = Mark("op-1", "creating", urn='urn:"<&>', role="server", holder=Holder("m", "b", 1, 2, 3), info={"a": "b\n"})


def spec(name: str, **changes: Any) -> DomainSpec:
    """A guest with one vCPU, 64 MiB, no disk and no network."""
    facts: dict[str, Any] = {
        "name": name,
        "uuid": str(uuid.uuid4()),
        "memory": 64 << 10,
        "vcpus": 1,
        "arch": "x86_64",
        "accelerator": "tcg",
        "cpu_mode": "auto",
        "firmware": "bios",
        "disks": (),
        "nics": (),
        "mark": MARK,
    }
    return DomainSpec(**{**facts, **changes})


def bootable(node: Node, ctx: Context, ref: VolumeRef) -> DiskSpec:
    """A disk that makes a guest say ``WORD``."""
    image = payload.image()
    node.volumes.create(ctx, ref, format="raw", virtual_size=len(image))
    node.volumes.upload(ctx, ref, iter([Chunk(image)]))
    if isinstance(node, MemoryNode):
        node.domains.newborn = lambda guest: setattr(guest, "says", WORD)
    return DiskSpec(node.volumes.chain(ctx, ref), "vda", boot_order=1)


def heard(ctx: Context, console: Console | None) -> bool:
    """Whether the guest says ``WORD`` before the context's deadline."""
    assert console is not None
    said = b""
    while WORD not in said:
        said += console.read(ctx, 5)
    return True
