"""Moving disks of guests in memory. Fits ``ports.Moves``. Tests reach into ``obstacles``, why guests' disks stay, and
``mirrors``, what is being copied to where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.ports.domains import DomainDisk
from kiln.ports.volumes import Volume

from tests.fakes.memory_domains import MemoryDomains
from tests.fakes.memory_volumes import MemoryVolumes


class MemoryMoves:
    """Mirrors by guest and device."""

    def __init__(self, domains: MemoryDomains, volumes: MemoryVolumes) -> None:
        self._domains = domains
        self._volumes = volumes
        self.obstacles: dict[str, str] = {}
        self.mirrors: dict[tuple[str, str], Volume] = {}

    def obstacle(self, ctx: Context, uuid: str) -> str | None:
        self._domains.get(ctx, uuid)
        return self.obstacles.get(uuid)

    def mirror(self, ctx: Context, uuid: str, target: str, to: Volume) -> None:
        ctx.check("copy the disk")
        if (uuid, target) in self.mirrors:
            raise KilnError(f"could not copy '{target}'", cause="block copy still active")
        path = next(disk.path for disk in self._disks(uuid) if disk.target == target)
        old = self._volumes.by_path(ctx, path or "")
        if self._volumes.get(ctx, to.ref).virtual_size < old.virtual_size:
            raise KilnError(f"the copy of '{target}' ended before it was whole")
        self._volumes.fill(old.ref, to.ref)
        self.mirrors[uuid, target] = to

    def pivot(self, ctx: Context, uuid: str, target: str, to: Volume) -> None:
        ctx.check("switch the disk")
        if any(disk.target == target and disk.path == to.path for disk in self._disks(uuid)):
            return
        if not self._mirrors(uuid, target, to):
            raise KilnError(f"could not switch '{target}'", cause="disk does not have an active block job")
        del self.mirrors[uuid, target]
        guest = self._domains.guests[uuid]
        assert guest.live is not None
        had = {disk.path for disk in guest.live.disks if disk.target == target}
        guest.live = replace(guest.live, disks=_pointed(guest.live.disks, target, to))
        if any(disk.target == target and disk.path in had for disk in guest.domain.disks):
            self.repoint(ctx, uuid, target, to)

    def unmirror(self, ctx: Context, uuid: str, target: str, to: Volume) -> None:
        ctx.check("end the copy")
        if self._mirrors(uuid, target, to):
            del self.mirrors[uuid, target]

    def repoint(self, ctx: Context, uuid: str, target: str, to: Volume) -> None:
        ctx.check("define the disk")
        self._domains.get(ctx, uuid)
        guest = self._domains.guests[uuid]
        guest.domain = replace(guest.domain, disks=_pointed(guest.domain.disks, target, to))

    def _mirrors(self, uuid: str, target: str, to: Volume) -> bool:
        mirror = self.mirrors.get((uuid, target))
        return mirror is not None and mirror.path == to.path

    def _disks(self, uuid: str) -> Sequence[DomainDisk]:
        live = self._domains.guests[uuid].live
        if live is None:
            raise KilnError(f"could not change guest {uuid}", cause="it does not run")
        return live.disks


def _pointed(disks: Sequence[DomainDisk], target: str, to: Volume) -> tuple[DomainDisk, ...]:
    return tuple(replace(disk, path=to.path, format=to.format) if disk.target == target else disk for disk in disks)
