"""Snapshots in memory. Fits ``ports.Snapshots``. Tests change ``known`` to play somebody with virsh."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from kiln.framework.context import Context
from kiln.framework.errors import Conflict, KilnError, NotFound, Refused
from kiln.ports.domains import Domain, Live
from kiln.ports.marks import Mark
from kiln.ports.snapshots import Snapshot
from kiln.ports.volumes import Volume

from tests.fakes.memory_domains import MemoryDomains
from tests.fakes.memory_volumes import Content, MemoryVolumes


@dataclass
class MemorySnapshot:
    """A snapshot with what it holds: volumes and their contents by path, and the guest as it was."""

    told: Snapshot
    volumes: dict[str, tuple[Volume, Content]]
    domain: Domain
    live: Live | None


class MemorySnapshots:
    """Snapshots by guest and name; those of a guest that is gone are gone too."""

    def __init__(self, domains: MemoryDomains, volumes: MemoryVolumes) -> None:
        self._domains = domains
        self._volumes = volumes
        self._lock = threading.RLock()
        self.known: dict[tuple[str, str], MemorySnapshot] = {}

    def get(self, ctx: Context, guest: str, name: str) -> Snapshot:
        return self._found(ctx, guest, name).told

    def list(self, ctx: Context, guest: str) -> Sequence[Snapshot]:
        self._domains.get(ctx, guest)
        return [snapshot.told for (owner, _), snapshot in dict(self.known).items() if owner == guest]

    def create(
        self, ctx: Context, guest: str, name: str, *, memory: bool, description: str | None, mark: Mark
    ) -> Snapshot:
        with self._lock:
            domain = self._domains.get(ctx, guest)
            if (guest, name) in self.known:
                raise Conflict(f"could not take snapshot '{name}' of guest '{domain.name}'", cause="it exists already")
            if memory != (domain.live is not None):
                raise KilnError(f"could not take snapshot '{name}' of guest '{domain.name}'", cause="the guest's state")
            devices = (domain.live or domain).disks
            disks = {disk.target: disk.path for disk in devices if disk.device == "disk" and disk.path is not None}
            if any(disk.format != "qcow2" for disk in devices if disk.device == "disk"):
                raise KilnError(f"could not take snapshot '{name}' of guest '{domain.name}'", cause="unsupported raw")
            media = {disk.target: disk.path for disk in devices if disk.device == "cdrom"}
            state = domain.state if domain.state in ("running", "paused") else "stopped"
            told = Snapshot(guest, name, int(time.time()), state, disks, media, description, mark=mark)
            held = {path: (self._volumes.by_path(ctx, path), self._content(ctx, path)) for path in disks.values()}
            for volume, _ in held.values():
                self._volumes.held(volume.ref).append(name)
            self.known[guest, name] = MemorySnapshot(told, held, replace(domain, live=None), domain.live)
            return told

    def describe(self, ctx: Context, guest: str, name: str, *, description: str | None, mark: Mark) -> Snapshot:
        found = self._found(ctx, guest, name)
        found.told = replace(found.told, description=description, mark=mark)
        return found.told

    def revert(self, ctx: Context, guest: str, name: str, *, ejected: Collection[str] = ()) -> None:
        with self._lock:
            found, now = self._found(ctx, guest, name), self._domains.guests[guest]
            media = {target: None if path in ejected else path for target, path in found.told.media.items()}
            found.told = replace(found.told, media=media)
            files = [*found.volumes, *(path for path in media.values() if path is not None)]
            missing = [path for path in files if not self._is_there(ctx, path)]
            missing += [
                path for path, (volume, _) in found.volumes.items() if name not in self._volumes.held(volume.ref)
            ]
            if missing and (found.live is not None or missing[0] in found.volumes):
                raise KilnError(f"could not revert to snapshot '{name}'", cause=f"there is no {missing[0]}")
            for volume, content in found.volumes.values():
                self._volumes.put_back(volume, content)
            now.domain = replace(found.domain, autostart=now.domain.autostart, name=now.domain.name)
            now.live = found.live

    def delete(self, ctx: Context, guest: str, name: str) -> None:
        ctx.check("delete the snapshot")
        found, owner = self.known.get((guest, name)), self._domains.guests.get(guest)
        if found is None or owner is None:
            return
        if owner.live is not None and (changed := found.told.changed(owner.told())):
            raise Refused(f"snapshot '{name}' stays", cause=f"the guest runs without what it had in {changed}")
        del self.known[guest, name]
        for path, (volume, _) in found.volumes.items():
            if self._is_there(ctx, path):
                self._volumes.held(volume.ref).remove(name)

    def _found(self, ctx: Context, guest: str, name: str) -> MemorySnapshot:
        self._domains.get(ctx, guest)
        if (guest, name) not in self.known:
            raise NotFound(f"could not read snapshot '{name}' of guest {guest}")
        return self.known[guest, name]

    def _content(self, ctx: Context, path: str) -> Content:
        return self._volumes.content(self._volumes.by_path(ctx, path).ref).copy()

    def _is_there(self, ctx: Context, path: str) -> bool:
        try:
            self._volumes.by_path(ctx, path)
        except NotFound:
            return False
        return True
