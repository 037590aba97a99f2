"""Guests in memory. Fits ``ports.Domains``. Tests reach into ``guests`` to play the guest, or somebody with virsh, and
into ``logged``, the logs of guests by their paths."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kiln.framework.context import Context
from kiln.framework.errors import Conflict, InputError, KilnError, NotFound, Refused
from kiln.ports.definition import Definition
from kiln.ports.domains import (
    Address,
    DiskSpec,
    Domain,
    DomainDisk,
    DomainNic,
    DomainSpec,
    GuestLog,
    Live,
    NicSpec,
    PowerState,
)
from kiln.ports.marks import Mark
from kiln.ports.networks import Network
from kiln.ports.overlays import OverlaySpec

from tests.fakes.memory_volumes import MemoryVolumes

NOWHERE = "/domain/nowhere"
"""An XPath that selects nothing in any guest."""


class MemoryConsole:
    """A console that says what its guest was told to say."""

    def __init__(self, guest: MemoryGuest) -> None:
        self._guest = guest
        self._read = 0
        self.closed = False

    def read(self, ctx: Context, seconds: float) -> bytes:
        ctx.check("read the console")
        data = self._guest.console[self._read :]
        self._read = len(self._guest.console)
        if not data:
            ctx.sleep(min(seconds, 0.01), "read the console")
        return data

    def close(self) -> None:
        self.closed = True


@dataclass
class MemoryGuest:
    """A guest: its definition, what it has while it runs, what it says on its console (all at once when it starts), and
    how it behaves."""

    domain: Domain
    live: Live | None = None
    saved: Live | None = None
    console: bytes = b""
    says: bytes = b""
    deaf: bool = False
    transient: bool = False
    clings: bool = False
    spare: int | None = None
    starts: int = 0
    overlay: Sequence[OverlaySpec] = ()
    addresses: Sequence[Address] = ()
    agent: Callable[[str], str | None] = field(default=lambda _command: None)

    def told(self) -> Domain:
        """The guest as the node tells it."""
        return replace(self.domain, live=self.live, transient=self.transient)


class MemoryDomains:
    """Guests by UUID. ``newborn`` sees every guest that is defined, to say how it will behave; no guest starts with a
    kernel in ``unbootable``."""

    def __init__(self, volumes: MemoryVolumes, networks: list[Network]) -> None:
        self._volumes = volumes
        self._networks = networks
        self._lock = threading.RLock()
        self.guests: dict[str, MemoryGuest] = {}
        self.logged: dict[str, GuestLog] = {}
        self.unbootable: set[str] = set()
        self._kept: list[tuple[Domain, Sequence[OverlaySpec]]] = []
        self.newborn: Callable[[MemoryGuest], None] = lambda _guest: None

    def define(self, ctx: Context, spec: DomainSpec) -> Domain:
        ctx.check("define the guest")
        self.rehearse(ctx, spec)
        with self._lock:
            for guest in self.guests.values():
                if guest.domain.name == spec.name and guest.domain.uuid != spec.uuid:
                    raise Conflict(f"could not define guest '{spec.name}'", cause=f"{guest.domain.uuid} has the name")
            before = self.guests.get(spec.uuid)
            if before is not None and before.domain.name != spec.name:
                raise Conflict(f"could not define guest '{spec.name}'", cause=f"it is '{before.domain.name}' already")
            if before is None:
                self.guests[spec.uuid] = MemoryGuest(_told(spec, "stopped", autostart=False))
                self.newborn(self.guests[spec.uuid])
            else:
                before.domain = _told(spec, before.domain.state, autostart=before.domain.autostart)
                before.transient = False
            self.guests[spec.uuid].overlay = tuple(spec.overlay)
            return self.guests[spec.uuid].told()

    def rehearse(self, ctx: Context, spec: DomainSpec) -> None:
        for index, entry in enumerate(spec.overlay):
            if entry.xpath == NOWHERE:
                raise InputError(f"xmlOverlay[{index}].xpath", "this selects nothing in the guest's definition")

    def overlaid(
        self, ctx: Context, uuid: str, overlay: Sequence[OverlaySpec], *, recent: bool = False
    ) -> Sequence[OverlaySpec]:
        had = self._guest(ctx, uuid).overlay
        return [entry if entry in had else OverlaySpec(entry.xpath) for entry in overlay]

    def definition(self, ctx: Context, uuid: str) -> Definition:
        guest = self._guest(ctx, uuid)
        self._kept.append((guest.domain, guest.overlay))
        return Definition(str(len(self._kept) - 1))

    def restore(self, ctx: Context, definition: Definition) -> Domain:
        ctx.check("put the definition back")
        with self._lock:
            kept, overlay = self._kept[int(definition.text)]
            guest = self.guests[kept.uuid]
            guest.overlay = overlay
            guest.domain = replace(kept, state=guest.domain.state, autostart=guest.domain.autostart)
            guest.transient = False
            return guest.told()

    def get(self, ctx: Context, uuid: str, *, recent: bool = False) -> Domain:
        return self._guest(ctx, uuid).told()

    def by_name(self, ctx: Context, name: str) -> Domain:
        for domain in self.list(ctx):
            if domain.name == name:
                return domain
        raise NotFound(f"could not read guest '{name}'")

    def list(self, ctx: Context, *, recent: bool = False) -> Sequence[Domain]:
        ctx.check("list the guests")
        return [guest.told() for guest in dict(self.guests).values()]

    def start(self, ctx: Context, uuid: str, *, with_console: bool = False) -> MemoryConsole | None:
        with self._lock:
            guest = self._guest(ctx, uuid)
            if guest.domain.state not in {"running", "paused"}:
                self._check_devices(guest.domain)
                guest.console += guest.says
                guest.starts += 1
                domain = guest.domain
                guest.live = guest.saved or _started(domain)
                guest.saved = None
            self._change(uuid, state="running")
            return MemoryConsole(guest) if with_console else None

    def shutdown(self, ctx: Context, uuid: str, timeout: float) -> bool:
        with self._lock:
            guest = self.guests.get(uuid)
            ctx.check("shut the guest down")
            willing = guest is None or guest.domain.state not in {"running", "paused"} or not guest.deaf
            self.destroy(ctx, uuid)
            return willing

    def destroy(self, ctx: Context, uuid: str) -> None:
        ctx.check("force the guest off")
        with self._lock:
            guest = self.guests.get(uuid)
            if guest is None:
                return
            if guest.domain.state in {"running", "paused"}:
                self._change(uuid, state="stopped")
                guest.live = None
            if guest.transient:
                del self.guests[uuid]

    def undefine(self, ctx: Context, uuid: str) -> None:
        ctx.check("remove the guest's definition")
        with self._lock:
            guest = self.guests.get(uuid)
            if guest is None:
                return
            if guest.domain.state in {"running", "paused"}:
                guest.transient = True
            else:
                del self.guests[uuid]

    def set_mark(self, ctx: Context, uuid: str, mark: Mark) -> None:
        self._guest(ctx, uuid)
        self._change(uuid, mark=mark)

    def set_autostart(self, ctx: Context, uuid: str, autostart: bool) -> None:
        if self._guest(ctx, uuid).transient:
            raise KilnError(f"could not set autostart of guest {uuid}", cause="it is transient")
        self._change(uuid, autostart=autostart)

    def set_description(self, ctx: Context, uuid: str, description: str | None) -> None:
        self._guest(ctx, uuid)
        self._change(uuid, description=description)

    def rename(self, ctx: Context, uuid: str, name: str) -> None:
        with self._lock:
            if any(guest.domain.name == name for guest in self.guests.values()):
                raise Conflict(f"could not rename guest {uuid}", cause=f"there is a guest '{name}'")
            if self._guest(ctx, uuid).domain.state != "stopped":
                raise KilnError(f"could not rename guest {uuid}", cause="it is not off")
            self._change(uuid, name=name)

    def detach_disk(self, ctx: Context, uuid: str, target: str) -> None:
        with self._lock:
            guest = self._guest(ctx, uuid)
            kept = tuple(disk for disk in guest.domain.disks if disk.target != target)
            self._change(uuid, disks=kept)
            if guest.live is not None:
                guest.live = replace(guest.live, disks=kept)

    def plug(self, ctx: Context, uuid: str, device: DiskSpec | NicSpec, settings: Mapping[str, str]) -> None:
        with self._lock:
            live = self._running(ctx, uuid)
            if isinstance(device, DiskSpec):
                self._play(uuid, disks=(*live.disks, told_disk(replace(device, boot_order=None))))
            else:
                self._play(uuid, nics=(*live.nics, told_nic(device)))

    def unplug(self, ctx: Context, uuid: str, device: DomainDisk | DomainNic) -> None:
        with self._lock:
            guest, live = self._guest(ctx, uuid), self._guest(ctx, uuid).live
            if live is None:
                return
            if guest.clings:
                raise KilnError(f"could not unplug '{device.called}'", cause="the guest does not let go of the device")
            disks = tuple(disk for disk in live.disks if disk.target != device.called)
            self._play(uuid, disks=disks, nics=tuple(nic for nic in live.nics if nic.mac != device.called))

    def replug(self, ctx: Context, uuid: str, device: DiskSpec | NicSpec, settings: Mapping[str, str]) -> None:
        with self._lock:
            live = self._running(ctx, uuid)
            if isinstance(device, DiskSpec):
                told = told_disk(replace(device, boot_order=None))
                self._play(uuid, disks=tuple(told if disk.target == told.target else disk for disk in live.disks))
            else:
                card = told_nic(device)
                self._play(uuid, nics=tuple(card if nic.mac == card.mac else nic for nic in live.nics))

    def plug_memory(self, ctx: Context, uuid: str, size: int) -> None:
        with self._lock:
            live = self._running(ctx, uuid)
            if live.max_memory is None or live.installed + size > live.max_memory or not live.memory_slots:
                raise KilnError(f"could not give memory to guest {uuid}", cause="there is no room for it")
            memory, installed = live.memory + size, live.installed + size
            self._play(uuid, memory=memory, installed=installed, memory_slots=live.memory_slots - 1)

    def balloon(self, ctx: Context, uuid: str, size: int) -> None:
        with self._lock:
            live = self._running(ctx, uuid)
            if self.guests[uuid].clings or size > live.installed:
                raise KilnError(f"could not change the memory of guest {uuid}", cause="its balloon does not get there")
            self._play(uuid, memory=size)

    def spare_memory(self, ctx: Context, uuid: str) -> int | None:
        guest = self._guest(ctx, uuid)
        return guest.spare if guest.live is not None else None

    def plug_vcpus(self, ctx: Context, uuid: str, count: int) -> None:
        with self._lock:
            if count > self._running(ctx, uuid).max_vcpus:
                raise KilnError(f"could not give virtual CPUs to guest {uuid}", cause="it cannot have as many")
            self._play(uuid, vcpus=count)

    def resize_disk(self, ctx: Context, path: str, virtual_size: int) -> bool:
        for domain in self.list(ctx):
            if domain.state in {"running", "paused"} and any(disk.path == path for disk in domain.disks):
                if self._volumes.by_path(ctx, path).virtual_size > virtual_size:
                    raise Refused(f"the disk {path} would shrink")
                self._volumes.resize(path, virtual_size)
                return True
        return False

    def users(self, ctx: Context, path: str) -> Sequence[str]:
        running = [domain for domain in self.list(ctx) if domain.live is not None]
        return [one.name for one in running if one.live and any(disk.path == path for disk in one.live.disks)]

    def addresses(self, ctx: Context, uuid: str) -> Sequence[Address]:
        guest = self._guest(ctx, uuid)
        return guest.addresses if guest.domain.state == "running" else ()

    def agent_command(self, ctx: Context, uuid: str, command: str, seconds: float) -> str | None:
        guest = self._guest(ctx, uuid)
        return guest.agent(command) if guest.domain.state == "running" else None

    def log_tail(self, ctx: Context, uuid: str, limit: int) -> bytes:
        return self._guest(ctx, uuid).console[-limit:]

    def logs(self, ctx: Context) -> Sequence[GuestLog]:
        ctx.check("list the logs")
        return list(self.logged.values())

    def delete_log(self, ctx: Context, log: GuestLog) -> None:
        if any(domain.uuid == log.uuid or domain.console_log == log.path for domain in self.list(ctx)):
            raise Refused(f"a guest writes to {log.path}")
        self.logged.pop(log.path, None)

    def play(self, uuid: str, state: PowerState) -> None:
        """What somebody with virsh, or the guest itself, does to its power state."""
        self._change(uuid, state=state)

    def save(self, uuid: str) -> None:
        """What `virsh managedsave` does."""
        guest = self.guests[uuid]
        guest.saved, guest.live = guest.live, None
        self._change(uuid, state="saved")

    def _running(self, ctx: Context, uuid: str) -> Live:
        live = self._guest(ctx, uuid).live
        if live is None:
            raise KilnError(f"could not change guest {uuid}", cause="it does not run")
        return live

    def _play(self, uuid: str, **changes: object) -> None:
        guest = self.guests[uuid]
        assert guest.live is not None
        guest.live = replace(guest.live, **changes)  # type: ignore[arg-type]

    def _guest(self, ctx: Context, uuid: str) -> MemoryGuest:
        ctx.check("read the guest")
        if uuid not in self.guests:
            raise NotFound(f"could not read guest {uuid}")
        return self.guests[uuid]

    def _change(self, uuid: str, **changes: object) -> None:
        with self._lock:
            guest = self.guests[uuid]
            guest.domain = replace(guest.domain, **changes)  # type: ignore[arg-type]

    def _check_devices(self, domain: Domain) -> None:
        if domain.boot is not None and domain.boot.kernel in self.unbootable:
            raise InputError("boot.kernel", f"guest '{domain.name}' cannot boot from '{domain.boot.kernel}'")
        paths = {volume.path for pool in self._volumes.named.values() for volume in pool.volumes.values()}
        for disk in domain.disks:
            if disk.path is not None and disk.path not in paths:
                raise KilnError(f"could not start guest {domain.uuid}", cause=f"there is no {disk.path}")
        active = {network.name for network in self._networks if network.active}
        for nic in domain.nics:
            if nic.kind == "network" and nic.source not in active:
                raise KilnError(f"could not start guest {domain.uuid}", cause=f"network '{nic.source}' does not run")


def _started(domain: Domain) -> Live:
    """What a guest has when it starts."""
    most, vcpus = domain.memory, domain.vcpus
    return Live(
        memory=most if domain.current_memory is None else domain.current_memory,
        vcpus=vcpus if domain.current_vcpus is None else domain.current_vcpus,
        disks=domain.disks,
        nics=domain.nics,
        installed=most,
        max_memory=domain.max_memory,
        memory_slots=0 if domain.max_memory is None else 16,
        max_vcpus=vcpus,
        asked=domain.asked,
        sizes=domain.sizes,
    )


def told_disk(disk: DiskSpec) -> DomainDisk:
    """A disk as the node tells it."""
    return DomainDisk(
        target=disk.target,
        device=disk.device,
        bus=disk.bus,
        path=disk.chain[0].path,
        format=disk.chain[0].format,
        serial=disk.serial,
        boot_order=disk.boot_order,
        backing=tuple(volume.path for volume in disk.chain[1:]),
    )


def told_nic(nic: NicSpec) -> DomainNic:
    """An interface as the node tells it."""
    return DomainNic(
        mac=nic.mac,
        kind="network" if nic.network is not None else "bridge" if nic.bridge is not None else "user",
        source=nic.network if nic.network is not None else nic.bridge,
        model=nic.model,
        link=nic.link,
        boot_order=nic.boot_order,
    )


def _told(spec: DomainSpec, state: PowerState, *, autostart: bool) -> Domain:
    return Domain(
        name=spec.name,
        uuid=spec.uuid,
        state=state,
        memory=spec.memory,
        vcpus=spec.max_vcpus or spec.vcpus,
        cpu_mode=spec.cpu_mode,
        firmware=spec.firmware,
        accelerator=spec.accelerator,
        disks=tuple(map(told_disk, spec.disks)),
        nics=tuple(map(told_nic, spec.nics)),
        autostart=autostart,
        boot=spec.boot,
        description=spec.description,
        graphics=spec.graphics,
        mark=spec.mark,
        metadata=dict(spec.metadata),
        platform_config=dict(spec.platform_config),
        asked=dict(spec.asked),
        vnc_port=None,
        console_log=f"/memory/{spec.uuid}.log",
        current_memory=spec.memory,
        current_vcpus=spec.vcpus,
        max_memory=spec.max_memory if spec.max_memory is not None and spec.max_memory > spec.memory else None,
        sizes=spec.sizes,
    )
