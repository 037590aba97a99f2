"""What a program would have to say to get a guest as the node has it: inputs in desired shape, drift and all. Reads
only."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kiln.framework.context import Context
from kiln.framework.errors import InputError, NotFound
from kiln.framework.units import Size
from kiln.ports.domains import Domain, DomainDisk, DomainNic, Sizes
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume, VolumeRef
from kiln.resources.names import volume_ref
from kiln.resources.places import known_as
from kiln.resources.server import devices, imported, overlay, storage
from kiln.resources.server.asked import kept
from kiln.resources.server.growth import defined_sizes, live_sizes
from kiln.resources.server.known import Known
from kiln.resources.server.layout import mac_address
from kiln.resources.server.model import Interface, Nic, ServerInputs, ServerState
from kiln.resources.server.sizing import resizable_as_defined
from kiln.resources.site import require_known_pool


def root_of(ctx: Context, node: Node, domain: Domain, known: Known) -> Volume | None:
    """The root disk of a guest as it is on the node, None where there is none that can be read."""
    if known.inputs is None:
        return imported.root_of(ctx, node, domain)
    return storage.root_volume(ctx, node.volumes, known.inputs, domain, recent=True)


@dataclass(frozen=True)
class _View:
    """What a guest has, or gets at its start: by its live definition, or by its persistent one."""

    sizes: Sizes
    disks: Sequence[DomainDisk]
    nics: Sequence[DomainNic]


@dataclass(frozen=True)
class _Own:
    """Where the volumes that are a server's own are, and its root disk if it was seen to be there."""

    root: VolumeRef
    seed: VolumeRef
    seen: Volume | None

    @property
    def named(self) -> Mapping[str, VolumeRef]:
        """Both by their names."""
        return {self.root.name: self.root, self.seed.name: self.seed}


def inputs_now(ctx: Context, node: Node, domain: Domain, known: Known, root: Volume | None) -> ServerInputs:
    """The inputs with every property that drifted replaced by what the guest has now."""
    base = known.inputs or imported.inputs_of(ctx, node, domain, known, root)
    drift: dict[str, object] = {"node": known.uri}  # another name is told as an output: a default name would follow it
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
    """What the inputs are compared with. Where no guest is restarted for them that is the definition, with what the
    guest is given and rid of while it runs."""
    live, defined = _live(domain), _defined(domain)
    if live is None or base.restart_policy == "allowed":
        return live or defined
    hot = live if devices.fits(domain, base) else defined
    own = [disk for disk in defined.disks if devices.is_own(disk.path, base)]
    sizes = replace(defined.sizes, **{field: getattr(live.sizes, field) for field in resizable_as_defined(domain)})
    return _View(sizes, [*own, *devices.others(hot.disks, base)], hot.nics)


def waiting(domain: Domain) -> list[str]:
    """The properties that a running guest will have otherwise when it starts again, because somebody changed only its
    definition or only the running guest."""
    sizes, has = defined_sizes(domain), live_sizes(domain)
    if has is None:
        return []
    found = {
        "memory": sizes.memory != has.memory,
        "maxMemory": sizes.max_memory != has.max_memory,
        "vcpus": sizes.vcpus != has.vcpus,
        "maxVcpus": sizes.max_vcpus != has.max_vcpus,
    }
    return [*(name for name, differs in found.items() if differs), *devices.unplugged(domain)]


def _defined(domain: Domain) -> _View:
    return _View(defined_sizes(domain), domain.disks, domain.nics)


def _live(domain: Domain) -> _View | None:
    live, sizes = domain.live, live_sizes(domain)
    return None if live is None or sizes is None else _View(sizes, live.disks, live.nics)


def _hardware_drift(
    ctx: Context,
    node: Node,
    guest: tuple[str, _Own],
    view: _View,
    base: ServerInputs,
    state: ServerState | None,
) -> dict[str, object]:
    uuid, own = guest
    return (
        _size_drift(view.sizes, base)
        | _disk_drift(ctx, node, view.disks, base, own)
        | _nic_drift(uuid, view.nics, state, base)
    )


def _size_drift(seen: Sizes, base: ServerInputs) -> dict[str, object]:
    most = None if seen.max_memory is None else Size.of(seen.max_memory * 1024)
    found = {
        "memory": Size.of(seen.memory * 1024),
        "max_memory": most,
        "vcpus": seen.vcpus,
        "max_vcpus": seen.max_vcpus,
    }
    return {field: value for field, value in found.items() if getattr(base, field) != value}


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
        paths = (disk.path, *disk.backing)  # with a snapshot that is a file of its own, the disk is under that
        ref = next((own.named[name] for path in paths if (name := path.rpartition("/")[2]) in own.named), None)
        if own.seen is not None and ref == own.seen.ref:
            root_there = True
        elif ref is not None and storage.is_own(ctx, node.volumes, ref):
            root_there = root_there or (ref == own.root and node.volumes.exists(ctx, ref))
        else:
            seen[_id_of(ctx, node, disk, base.disks or [])] = disk
    drift: dict[str, object] = {}
    if not _same_disks(seen, base.disks or []):
        drift["disks"] = _in_order(list(seen), base.disks or []) or None
    if base.image is not None and not root_there:
        require_known_pool(ctx, node, base.pool)
        drift["image"] = None
    return drift


def _in_order(seen: Sequence[str], stated: Sequence[str]) -> list[str]:
    """What is attached: where disks came or went, the others in the order stated, so that only those are told."""
    if sorted(seen) == sorted(stated):
        return list(seen)
    return [*(id for id in stated if id in seen), *(id for id in seen if id not in stated)]


def _id_of(ctx: Context, node: Node, disk: DomainDisk, stated: Sequence[str]) -> str:
    """The id of a disk's volume, or of the one that is ``stated`` and under a snapshot of it; the path of a disk that
    no pool knows."""
    assert disk.path is not None
    top = _id_at(ctx, node, disk.path, stated)
    if top in stated:
        return top
    return next((id for path in disk.backing if (id := _id_at(ctx, node, path, stated)) in stated), top)


def _id_at(ctx: Context, node: Node, path: str, stated: Sequence[str]) -> str:
    """The id of the volume at a path, also of one that is deleted or in a stopped pool and that is ``stated``, or the
    path where no pool knows it."""
    try:
        ref = node.volumes.by_path(ctx, path, recent=True).ref
        return str(ref if str(ref) in stated else known_as(node.volumes.read_mark(ctx, ref), ref))
    except NotFound:
        return next((id for id in stated if _would_lie_at(ctx, node, id, path)), path)


def _would_lie_at(ctx: Context, node: Node, id: str, path: str) -> bool:
    """Whether the pool of a volume would have it at ``path``."""
    directory, _, name = path.rpartition("/")
    try:
        ref = volume_ref(id, "disks")
        return ref.name == name and node.volumes.pool(ctx, ref.pool).path == directory
    except (NotFound, InputError):  # the pool is gone, or it was a path already
        return False


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
