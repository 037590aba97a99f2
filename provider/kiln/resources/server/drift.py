"""What a program would have to say to get a guest as the node has it: inputs in desired shape, drift and all. Reads
only."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from kiln.framework.context import Context
from kiln.framework.errors import NotFound
from kiln.framework.units import Size
from kiln.ports.domains import Domain, DomainDisk, DomainNic
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume, VolumeRef
from kiln.resources.server import storage
from kiln.resources.server.layout import mac_address
from kiln.resources.server.model import Interface, Nic, ServerInputs, ServerState

_MIB = 1024


@dataclass(frozen=True)
class Known:
    """What is known beforehand about a guest that is read: where it is, its node's defaults, what the state says."""

    uri: str
    pool: str
    network: str | None
    inputs: ServerInputs | None = None
    state: ServerState | None = None


def own_root(ctx: Context, node: Node, domain: Domain) -> Volume | None:
    """The root disk that was made with a guest that no state knows, in whatever pool it is."""
    for disk in domain.disks:
        if disk.path is not None and disk.path.rpartition("/")[2] == storage.root_name(domain.name):
            with contextlib.suppress(NotFound):
                volume = node.volumes.by_path(ctx, disk.path)
                if storage.is_own(ctx, node.volumes, volume.ref):
                    return volume
    return None


def _imported(ctx: Context, node: Node, domain: Domain, known: Known, root: Volume | None) -> ServerInputs:
    """What a guest that no state knows was made with, as far as the node tells: an overlay names its image."""
    image = None
    if root is not None and root.backing is not None:
        with contextlib.suppress(NotFound):
            image = str(node.volumes.by_path(ctx, root.backing).ref)
    told = [(nic.mac, nic.network, nic.model) for nic in domain.nics]
    usual = told == [(mac_address(domain.uuid, 0), known.network, "virtio")]
    return ServerInputs(
        name=domain.name, node=known.uri, pool=root.ref.pool if root is not None else known.pool, image=image,
        disks=[], networks=None if usual else [], firmware=domain.firmware,
        graphics="vnc" if domain.graphics == "vnc" else "none",
    )  # fmt: skip


@dataclass(frozen=True)
class _View:
    """What a guest has, or will have: by its live definition, or by its persistent one. Memory in KiB."""

    memory: tuple[int | None, ...]
    vcpus: tuple[int | None, ...]
    disks: Sequence[DomainDisk]
    nics: Sequence[DomainNic]


def inputs_now(
    ctx: Context, node: Node, domain: Domain, known: Known, root: Volume | None
) -> tuple[ServerInputs, list[str]]:
    """The inputs with every property that drifted replaced by what the guest has now, and the properties that it will
    have otherwise when it starts again, because somebody changed only its definition or only the running guest."""
    base = known.inputs or _imported(ctx, node, domain, known, root)
    drift: dict[str, object] = {"name": domain.name, "node": known.uri}
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
    own = storage.own_refs(ctx, node.volumes, base, domain)

    def look(view: _View, inputs: ServerInputs) -> dict[str, object]:
        return _hardware_drift(ctx, node, (domain.uuid, own), view, inputs, known.state)

    defined, live = _defined(domain), _live(domain)
    now = base.model_copy(update=drift | look(live or defined, base))
    waiting = look(defined, now) if live is not None and _differ(live, defined) else {}
    return now, sorted(waiting)


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


def _differ(live: _View, defined: _View) -> bool:
    """Whether it is worth a closer look: for nearly all guests both are the same."""
    return _told(live) != _told(defined) or len({*defined.memory, None}) > 2 or len({*defined.vcpus, None}) > 2


def _told(view: _View) -> tuple[object, ...]:
    disks, nics = [(disk.target, disk.path) for disk in view.disks], [(nic.mac, nic.source) for nic in view.nics]
    return view.memory[-1], view.vcpus[-1], disks, nics


def _hardware_drift(
    ctx: Context,
    node: Node,
    guest: tuple[str, tuple[VolumeRef, VolumeRef]],
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
    ctx: Context, node: Node, disks: Sequence[DomainDisk], base: ServerInputs, own: tuple[VolumeRef, VolumeRef]
) -> dict[str, object]:
    """Disks in their order, hard disks and CDs each by themselves, without the root disk and seed that are its own."""
    root, seed = own
    hard: list[str] = []
    cds: list[str] = []
    root_there = False
    for disk in sorted(disks, key=_bus_order):
        if disk.path is None:
            continue
        ref = {root.name: root, seed.name: seed}.get(disk.path.rpartition("/")[2])
        if ref is not None and storage.is_own(ctx, node.volumes, ref):
            root_there = root_there or (ref == root and node.volumes.exists(ctx, ref))
        else:
            (cds if disk.device == "cdrom" else hard).append(_id_of(ctx, node, disk.path))
    drift: dict[str, object] = {}
    stated = base.disks or []
    if hard != [id for id in stated if id not in cds] or cds != [id for id in stated if id in cds]:
        drift["disks"] = [*hard, *cds] or None
    if base.image is not None and not root_there:
        drift["image"] = None
    return drift


def _id_of(ctx: Context, node: Node, path: str) -> str:
    """The id of the volume at a path, or the path where no pool knows it."""
    try:
        return str(node.volumes.by_path(ctx, path).ref)
    except NotFound:
        return path


def _bus_order(disk: DomainDisk) -> tuple[int, str]:
    return len(disk.target), disk.target


def _nic_drift(
    uuid: str, seen: Sequence[DomainNic], state: ServerState | None, base: ServerInputs
) -> dict[str, object]:
    """Interfaces compare by what a program states; what it left out compares with what the node gave before."""
    asked = base.networks if base.networks is not None else [Nic()]
    before = list((state.interfaces if state is not None else None) or [])
    same = len(asked) == len(seen) and all(
        nic.mac == (want.mac or mac_address(uuid, index))
        and (nic.model or "virtio") == want.model
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
