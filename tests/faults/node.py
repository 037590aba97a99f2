"""A node in memory on which faults strike, with things of others on it that nobody may touch."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kiln.firstboot.metadata import TOKEN
from kiln.framework.context import Context
from kiln.ports.domains import Address, Domain, DomainDisk
from kiln.ports.marks import Mark
from kiln.ports.networks import Network
from kiln.ports.volumes import Volume, VolumeRef
from kiln.resources import leftovers
from kiln.resources.leftovers import Leftover
from kiln.resources.server.storage import instance_id

from tests.fakes.memory import MemoryNode
from tests.fakes.memory_domains import MemoryGuest
from tests.fakes.memory_snapshots import MemorySnapshot
from tests.faults.points import Points, Wired, wired
from tests.unit.resources.world import POOL, URI, World

ATTIC = "attic"
"""A second pool, which Kiln did not make."""
CELLAR = "00000000-0000-4000-8000-000000000007"


def _of_another_stack(role: str, **info: str) -> Mark:
    return Mark("0123456789abcdef", "done", "urn:pulumi:other::other::kiln:index:Thing::other", role, info=info)


OTHERS = {
    "base": _of_another_stack("image", kind="disk", kernel="base.kernel"),
    "base.kernel": _of_another_stack("kernel"),
    "data": _of_another_stack("disk", kind="disk"),
    "more": _of_another_stack("disk", kind="disk"),
    "cd": _of_another_stack("disk", kind="iso"),
    "cd2": _of_another_stack("disk", kind="iso"),
}
"""The volumes of another stack."""
DEAD = 2**31 - 1
"""No process has this pid: pid_max is 2^22 at most (proc(5))."""


class FaultyWorld(World):
    """A world whose provider meets faults; ``raw`` is its node without them. ``points`` are those of the run under
    way."""

    def __init__(self, files: Path, *, local: bool = False) -> None:
        self.points = Points()
        super().__init__(files, local=local)
        self.bare: MemoryNode = self.nodes.get(Context(), URI)
        self.bare.domains.newborn = boots
        self._wire()

    def _wire(self) -> None:
        bare, points = self.bare, lambda: self.points
        parts: Any = replace(bare)
        for name in ("volumes", "domains", "networks", "snapshots", "moves"):
            setattr(parts, name, Wired(name, getattr(bare, name), points))
        for name in ("identity", "facts", "max_vcpus", "file_flaw", "accelerator", "prerequisites"):
            setattr(parts, name, wired(name, getattr(bare, name), points, reads=True))
        self.nodes.also_at(URI, parts)

    def new_process(self) -> None:
        """The provider runs anew, and whoever held a mark before is dead."""
        self.points = Points()
        self.restart()
        for pool in self.bare.volumes.named.values():
            pool.marks.update({name: _buried(mark) for name, mark in pool.marks.items()})
        for guest in self.bare.domains.guests.values():
            guest.domain = replace(guest.domain, mark=guest.domain.mark and _buried(guest.domain.mark))
        networks = self.bare.networks.known
        networks[:] = [replace(one, mark=one.mark and _buried(one.mark)) for one in networks]
        for snapshot in self.bare.snapshots.known.values():
            snapshot.told = replace(snapshot.told, mark=snapshot.told.mark and _buried(snapshot.told.mark))

    def leftovers(self, known: Collection[str] | None) -> list[Leftover]:
        """What `kiln gc` finds."""
        return leftovers.find(Context(), self.bare, None, known)

    def collect(self, known: Collection[str] | None) -> list[str]:
        """Do as `kiln gc --yes` does; the ids of what was removed."""
        found = self.leftovers(known)
        for item in found:
            item.remove(Context())
        return [item.id for item in found]

    def raw(self, name: str = "disk.raw", size: int = 32 << 10) -> str:
        """A source: a small raw disk, since hundreds of worlds are made."""
        return super().raw(name, size)

    def iso(self) -> str:
        """A source: the same ISO each time, which else would tell when it was made."""
        file = self.files / "cd.iso"
        file.write_bytes(_iso())
        return str(file)

    def guest(self, name: str) -> MemoryGuest:
        """A guest by its name."""
        return next(guest for guest in self.bare.domains.guests.values() if guest.domain.name == name)

    def write(self, volume: str, data: bytes = b"precious") -> None:
        """What a guest writes to its disk."""
        content = self.bare.volumes.named[POOL].contents[volume]
        content.pieces.append((512, data))
        content.length = max(content.length, 512 + len(data))


def boots(guest: MemoryGuest) -> None:
    """Every guest says that its first boot has ended, and has an address."""
    guest.says = f"\r\n{TOKEN} {instance_id(guest.domain.uuid)} done\r\n".encode()
    guest.addresses = [Address("52:54:00:00:00:07", "192.0.2.7", 24, "lease")]


def add_things_of_others(world: FaultyWorld) -> None:
    """A pool, a guest, its volume and a network that Kiln did not make, and what another stack has: an image with its
    kernel, disks and CDs, for servers to use."""
    ctx, node = Context(), world.bare
    node.volumes.ensure_pool(ctx, POOL, None)
    node.volumes.ensure_pool(ctx, ATTIC, None)
    node.volumes.named[ATTIC].ours = False
    theirs = node.volumes.create(ctx, VolumeRef(POOL, "theirs"), format="raw", virtual_size=1 << 20)
    for name, mark in OTHERS.items():
        node.volumes.create(ctx, VolumeRef(POOL, name), format="raw", virtual_size=1 << 16)
        node.volumes.write_mark(ctx, VolumeRef(POOL, name), mark)
    for name in ("theirs", *OTHERS):
        world.write(name, name.encode())
    node.networks.known.append(Network("cellar", active=True, bridge="virbr7", dhcp=True, uuid=CELLAR))
    disk = DomainDisk("vda", "disk", "virtio", theirs.path, "raw", None, None)
    guest = Domain(
        name="theirs",
        uuid="00000000-0000-4000-8000-000000000009",
        state="stopped",
        memory=1 << 16,
        vcpus=1,
        cpu_mode=None,
        firmware="bios",
        accelerator="tcg",
        disks=(disk,),
        nics=(),
        autostart=False,
        boot=None,
        description=None,
        graphics="none",
        mark=None,
    )
    node.domains.guests[guest.uuid] = MemoryGuest(guest)


def inventory(node: MemoryNode) -> dict[str, Any]:
    """All that is on a node, told so that it is the same for two that were made in the same way: no UUID, no address
    that follows from one, no operation, and of a seed not its content, which holds a new password."""
    ctx, volumes, known = Context(), node.volumes, node.snapshots.known.values()
    marks = {(pool, name): mark for pool, one in volumes.named.items() for name, mark in one.marks.items()}
    return {
        "pools": {name: pool.active for name, pool in volumes.named.items()},
        "volumes": {key: _volume(node, key, volume, marks.get(key)) for key, volume in _volumes(node)},
        "marks": {key: _mark(mark, f"{key[0]}/{key[1]}") for key, mark in marks.items()},
        "guests": {guest.domain.name: _guest(guest) for guest in node.domains.guests.values()},
        "snapshots": {_owner(node, one): _snapshot(one) for one in known if one.told.guest in node.domains.guests},
        "mirrors": list(node.moves.mirrors),
        "networks": {one.name: {**asdict(one), "uuid": "", "mark": _mark(one.mark)} for one in node.networks.list(ctx)},
    }


def differences(one: Any, other: Any, at: str = "") -> list[str]:
    """Where two inventories differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(one.keys() | other.keys(), key=str)
        return [line for key in keys for line in differences(one.get(key), other.get(key), f"{at}/{key}")]
    return [] if one == other else [f"{at}: {one} instead of {other}"]


def _volumes(node: MemoryNode) -> Iterator[tuple[tuple[str, str], Volume]]:
    for pool, one in node.volumes.named.items():
        for name, volume in one.volumes.items():
            yield (pool, name), volume


def _volume(node: MemoryNode, key: tuple[str, str], volume: Volume, mark: Mark | None) -> dict[str, Any]:
    content = node.volumes.named[key[0]].contents[key[1]]
    end = max((offset + len(data) for offset, data in content.pieces), default=0)
    data = b"" if mark is not None and mark.role == "seed" else content.read(0, end)
    told = {"format": volume.format, "virtual_size": volume.virtual_size, "backing": volume.backing}
    return {**told, "content": hashlib.sha256(data).hexdigest(), "snapshots": sorted(node.volumes.held(volume.ref))}


def _owner(node: MemoryNode, snapshot: MemorySnapshot) -> str:
    return f"{node.domains.guests[snapshot.told.guest].domain.name}/{snapshot.told.name}"


def _snapshot(snapshot: MemorySnapshot) -> dict[str, Any]:
    return {**asdict(snapshot.told), "guest": "", "created": 0, "mark": _mark(snapshot.told.mark)}


def _mark(mark: Mark | None, id: str = "") -> Any:
    """``id`` is the one that a mark need not tell."""
    told = mark.info.items() if mark is not None else ()
    info = {key: value for key, value in told if key != "instance" and (key, value) != ("id", id)}
    return mark and (mark.phase, mark.role, mark.urn, mark.digest, tuple(sorted(info.items())))


def _guest(guest: MemoryGuest) -> dict[str, Any]:
    domain = guest.told()
    told = asdict(replace(domain, uuid="", mark=None, console_log=None))
    told |= {"mark": _mark(domain.mark), "overlay": guest.overlay}
    for nic in (*told["nics"], *(told["live"] or {"nics": ()})["nics"]):
        nic["mac"] = ""
    return told


@cache
def _iso() -> bytes:
    with TemporaryDirectory() as directory:
        return Path(World(Path(directory)).iso()).read_bytes()


def _buried(mark: Mark) -> Mark:
    return mark if mark.holder is None else replace(mark, holder=replace(mark.holder, pid=DEAD))
