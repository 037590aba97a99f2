"""What a program would have to say to get a guest as the node has it: inputs in desired shape, drift and all. Reads
only."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kiln.framework.context import Context
from kiln.framework.errors import NotFound
from kiln.framework.units import Size
from kiln.ports.domains import Domain, DomainDisk, DomainNic
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume, VolumeRef
from kiln.resources.server import devices, imported, overlay, storage
from kiln.resources.server.asked import kept
from kiln.resources.server.known import Known
from kiln.resources.server.layout import mac_address
from kiln.resources.server.model import Interface, Nic, ServerInputs, ServerState

_MIB = 1024


def root_of(ctx: Context, node: Node, domain: Domain, known: Known) -> Volume | None:
    """The root disk of a guest as it is on the node, None where there is none that can be read."""
    if known.inputs is None:
        return imported.root_of(ctx, node, domain)
    return storage.root_volume(ctx, node.volumes, known.inputs, domain, recent=True)


@dataclass(frozen=True)
class _View:
    """What a guest has, or will have: by its live definition, or by its persistent one. Memory in KiB."""

    memory: tuple[int | None, ...]
    vcpus: tuple[int | None, ...]
    disks: Sequence[DomainDisk]
    nics: Sequence[DomainNic]


@dataclass(frozen=True)
class _Own:
    """Where the volumes that are a server's own are, and its root disk if it was seen to be there."""

    root: VolumeRef
    seed: VolumeRef
    seen: Volume | None


def inputs_now(ctx: Context, node: Node, domain: Domain, known: Known, root: Volume | None) -> ServerInputs:
    """The inputs with every property that drifted replaced by what the guest has now."""
    base = known.inputs or imported.inputs_of(ctx, node, domain, known, root)
    drift: dict[str, object] = {"node": known.uri}
    if not _keeps_name(domain, base):
        drift["name"] = domain.name
    if base.autostart != domain.autostart:
        drift["autostart"] = domain.autostart
    if (base.description or None) != (domain.description or None):
        drift["description"] = domain.description
    graphics = "vnc" if domain.graphics == "vnc" else "none"
    if base.graphics != graphics:
        drift["graphics"] = graphics
    power = "running" if domain.state == "running" else "stopped"
    if base.power_state != power:
        drift["power_state"] = power
    if root is not None and base.disk_size is not None and base.disk_size.bytes != root.virtual_size:
        drift["disk_size"] = Size.of(root.virtual_size)
    if base.xml_overlay:
        had = node.domains.overlaid(ctx, domain.uuid, overlay.specs(base), recent=True)
        drift["xml_overlay"] = [overlay.stated(spec) for spec in had]
    own = _Own(*storage.own_refs(ctx, node.volumes, base, domain), root)
    drift |= _hardware_drift(ctx, node, (domain.uuid, own), _seen(domain, base), base, known.state)
    return base.model_copy(update=drift | _not_restarted(domain, base, known.state))


def _not_restarted(domain: Domain, base: ServerInputs, state: ServerState | None) -> dict[str, object]:
    """What a guest runs with that is to be restarted with its new definition, where an update failed before it was: as
    the state says."""
    if state is None or base.restart_policy != "allowed":
        return {}
    return {field: getattr(state, field) for field in kept(domain, state)}


def _seen(domain: Domain, base: ServerInputs) -> _View:
    """What the inputs are compared with. Where no guest is restarted for them that is the definition, of disks and
    interfaces with what the guest is given and rid of while it runs."""
    live, defined = _live(domain), _defined(domain)
    if live is None or base.restart_policy == "allowed":
        return live or defined
    hot = live if devices.fits(domain, base) else defined
    own = [disk for disk in defined.disks if devices.is_own(disk.path, base)]
    return replace(defined, disks=[*own, *devices.others(hot.disks, base)], nics=hot.nics)


def _keeps_name(domain: Domain, base: ServerInputs) -> bool:
    """Whether a guest that somebody renamed keeps that name until it is off, since it takes a restart to rename it."""
    waits = base.restart_policy != "allowed" and domain.live is not None
    return waits and storage.is_made_as(base.name, domain)


def waiting(domain: Domain) -> list[str]:
    """The properties that a running guest will have otherwise when it starts again, because somebody changed only its
    definition or only the running guest."""
    live, defined = _live(domain), _defined(domain)
    if live is None:
        return []
    found = {
        "memory": {*defined.memory, None} != {*live.memory, None},
        "vcpus": {*defined.vcpus, None} != {*live.vcpus, None},
        "disks": {(disk.target, disk.path) for disk in defined.disks} != {(d.target, d.path) for d in live.disks},
        "networks": set(map(_card, defined.nics)) != set(map(_card, live.nics)),
    }
    return [name for name, differs in found.items() if differs]


def _card(nic: DomainNic) -> tuple[str | None, ...]:
    return nic.mac, nic.source, nic.model, nic.link


def _defined(domain: Domain) -> _View:
    memory, vcpus = (domain.current_memory, domain.memory), (domain.current_vcpus, domain.vcpus)
    return _View(memory, vcpus, domain.disks, domain.nics)


def _live(domain: Domain) -> _View | None:
    if (live := domain.live) is None:
        return None
    # QEMU gives whole MiB.
    defined = domain.memory if domain.current_memory is None else domain.current_memory
    memory = defined if abs(live.memory - defined) < _MIB else live.memory
    return _View((memory,), (live.vcpus,), live.disks, live.nics)


def _hardware_drift(
    ctx: Context,
    node: Node,
    guest: tuple[str, _Own],
    view: _View,
    base: ServerInputs,
    state: ServerState | None,
) -> dict[str, object]:
    uuid, own = guest
    drift: dict[str, object] = {}
    if (memory := _other_than(base.memory.kib, *view.memory)) is not None:
        drift["memory"] = Size.of(memory * 1024)
    if (vcpus := _other_than(base.vcpus, *view.vcpus)) is not None:
        drift["vcpus"] = vcpus
    return drift | _disk_drift(ctx, node, view.disks, base, own) | _nic_drift(uuid, view.nics, state, base)


def _other_than(stated: int, *seen: int | None) -> int | None:
    """The first of what is seen that is not what is stated."""
    return next((value for value in seen if value not in (None, stated)), None)


def _disk_drift(
    ctx: Context, node: Node, disks: Sequence[DomainDisk], base: ServerInputs, own: _Own
) -> dict[str, object]:
    """Disks without the root disk and seed that are the server's own. Their order is that of booting, where all have a
    place in it: device names say nothing of it."""
    seen: dict[str, DomainDisk] = {}
    root_there = False
    for disk in sorted(disks, key=_boot_order):
        if disk.path is None:
            continue
        ref = {own.root.name: own.root, own.seed.name: own.seed}.get(disk.path.rpartition("/")[2])
        if own.seen is not None and ref == own.seen.ref:
            root_there = True
        elif ref is not None and storage.is_own(ctx, node.volumes, ref):
            root_there = root_there or (ref == own.root and node.volumes.exists(ctx, ref))
        else:
            seen[_id_of(ctx, node, disk.path)] = disk
    drift: dict[str, object] = {}
    if not _same_disks(seen, base.disks or []):
        drift["disks"] = _in_order(list(seen), base.disks or []) or None
    if base.image is not None and not root_there:
        drift["image"] = None
    return drift


def _in_order(seen: Sequence[str], stated: Sequence[str]) -> list[str]:
    """What is attached: where disks came or went, the others in the order stated, so that only those are told."""
    if sorted(seen) == sorted(stated):
        return list(seen)
    return [*(id for id in stated if id in seen), *(id for id in seen if id not in stated)]


def _id_of(ctx: Context, node: Node, path: str) -> str:
    """The id of the volume at a path, or the path where no pool knows it."""
    try:
        return str(node.volumes.by_path(ctx, path).ref)
    except NotFound:
        return path


def _boot_order(disk: DomainDisk) -> tuple[bool, int, int, str]:
    """Hard disks before CDs, each in the order of booting, those that have no place in it by name."""
    return disk.device == "cdrom", disk.boot_order or sys.maxsize, len(disk.target), disk.target


def _same_disks(seen: Mapping[str, DomainDisk], stated: Sequence[str]) -> bool:
    if sorted(seen) != sorted(stated):
        return False
    ordered = [id for id, disk in seen.items() if disk.boot_order is not None]
    kinds = [[id for id in stated if (seen[id].device == "cdrom") == cd and id in ordered] for cd in (False, True)]
    return ordered == [*kinds[0], *kinds[1]]


def _nic_drift(
    uuid: str, seen: Sequence[DomainNic], state: ServerState | None, base: ServerInputs
) -> dict[str, object]:
    """Interfaces compare by what a program states; what it left out compares with what the node gave before."""
    asked = base.networks if base.networks is not None else [Nic()]
    before = list((state.interfaces if state is not None else None) or [])
    same = len(asked) == len(seen) and all(
        nic.mac == (want.mac or mac_address(uuid, index))
        and ((nic.model or "virtio"), nic.link) == (want.model, want.link_state)
        and _connected_as(nic, want, before[index] if index < len(before) else None)
        for index, (want, nic) in enumerate(zip(asked, seen, strict=False))
    )
    if same:
        return {}
    return {
        "networks": [
            Nic(
                network=nic.network,
                bridge=nic.bridge,
                mac=nic.mac,
                model=nic.model if nic.model in ("virtio", "e1000", "e1000e", "rtl8139") else "virtio",
                link_state=nic.link,
            )
            for nic in seen
        ]
    }


def _connected_as(nic: DomainNic, want: Nic, before: Interface | None) -> bool:
    """Whether an interface is connected to what is stated, or else to what it was connected to."""
    expected = want if want.network is not None or want.bridge is not None else before
    if expected is None:
        return True
    return (nic.network, nic.bridge) == (expected.network, expected.bridge)
