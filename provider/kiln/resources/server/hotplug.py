"""What a running guest is given, changed and rid of so that it has what its new definition says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from kiln.ports.domains import DiskSpec, DomainDisk, DomainNic, DomainSpec, Live, NicSpec


@dataclass(frozen=True)
class Unplug:
    """A device that the guest is rid of."""

    device: DomainDisk | DomainNic

    def __str__(self) -> str:
        return f"unplug {self.device.called}"


@dataclass(frozen=True)
class Plug:
    """A device that the guest is given."""

    device: DiskSpec | NicSpec

    def __str__(self) -> str:
        return f"plug {self.device.called}"


@dataclass(frozen=True)
class Replug:
    """Another medium for a CD drive, another network for an interface, or its cable pulled or plugged in."""

    device: DiskSpec | NicSpec

    def __str__(self) -> str:
        return f"change {self.device.called}"


HotChange: TypeAlias = Unplug | Plug | Replug


def plugs(live: Live, wanted: DomainSpec) -> list[HotChange]:
    """The changes in the order to make them: what goes makes room for what comes."""
    changes = [*_disks(live, wanted), *_nics(live, wanted)]
    return sorted(changes, key=lambda change: not isinstance(change, Unplug))


def _disks(live: Live, wanted: DomainSpec) -> list[HotChange]:
    has = {disk.target: disk for disk in live.disks}
    wants = {disk.target: disk for disk in wanted.disks}
    changes: list[HotChange] = [Unplug(disk) for target, disk in has.items() if target not in wants]
    for target, disk in wants.items():
        old = has.get(target)
        if old is None:
            changes.append(Plug(disk))
        elif old.path != disk.chain[0].path:
            if old.device == disk.device == "cdrom":
                changes.append(Replug(disk))
            else:
                changes += [Unplug(old), Plug(disk)]
    return changes


def _nics(live: Live, wanted: DomainSpec) -> list[HotChange]:
    has = {nic.mac: nic for nic in live.nics}
    wants = {nic.mac: nic for nic in wanted.nics}
    changes: list[HotChange] = [Unplug(nic) for mac, nic in has.items() if mac not in wants]
    for mac, nic in wants.items():
        old = has.get(mac)
        if old is None:
            changes.append(Plug(nic))
        elif (old.model or "virtio") != nic.model:
            changes += [Unplug(old), Plug(nic)]
        elif (old.network, old.bridge, old.link) != (nic.network, nic.bridge, nic.link):
            changes.append(Replug(nic))
    return changes
