"""From a guest as the node reports it to a Server's inputs in desired shape, and to its state. Reads only."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from kiln.framework.context import Context
from kiln.framework.errors import KilnError, NotFound
from kiln.framework.resource import Found
from kiln.framework.units import Size
from kiln.ports.domains import Domain, DomainDisk, DomainNic
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume
from kiln.resources.server import storage
from kiln.resources.server.build import Work
from kiln.resources.server.layout import mac_address
from kiln.resources.server.model import Console, Interface, Nic, ServerInputs, ServerState


@dataclass(frozen=True)
class Known:
    """What is known beforehand about a guest that is read: where it is, its node's defaults, what the state says."""

    uri: str
    pool: str
    network: str | None
    inputs: ServerInputs | None = None
    state: ServerState | None = None


@dataclass(frozen=True)
class _Rest:
    """What a state holds that neither the inputs nor the domain tell."""

    identity: str
    root_disk_size: Size | None
    addresses: list[str]
    password: str | None = field(repr=False)
    vnc_password: str | None = field(repr=False)


def state(node: Node, work: Work) -> ServerState:
    """The state after an operation, from what its steps saw."""
    assert work.domain is not None
    assert work.ground is not None
    addresses = work.addresses if work.domain.state == "running" else []
    rest = _Rest(work.ground.identity, root_size(work), addresses, work.password, work.vnc_password)
    return _state(node, work.inputs, work.domain, rest)


def root_size(work: Work) -> Size | None:
    """The size of the root disk as it was seen last."""
    return Size.of(work.root.chain[0].virtual_size) if work.root is not None else None


def found(ctx: Context, node: Node, domain: Domain, known: Known) -> Found[ServerInputs, ServerState]:
    """The guest as it is now, in the shape a program would state it."""
    before = known.state
    root = _own_root(ctx, node, domain) if known.inputs is None else None
    inputs = _inputs(ctx, node, domain, known, root)
    size = Size.of(root.virtual_size) if root is not None else None
    rest = _Rest(
        node.identity(ctx),
        before.root_disk_size if before is not None else size,
        _addresses(ctx, node, domain, before),
        before.initial_password if before is not None else None,
        before.console.vnc_password if before is not None and before.console else None,
    )
    return Found(domain.uuid, inputs, _state(node, inputs, domain, rest))


def _state(node: Node, inputs: ServerInputs, domain: Domain, rest: _Rest) -> ServerState:
    graphical = domain.graphics == "vnc"
    ordered = sorted((d for d in domain.disks if d.boot_order is not None), key=lambda d: d.boot_order or 0)
    return ServerState(
        **dict(inputs),
        node_identity=rest.identity,
        uuid=domain.uuid,
        root_disk_size=rest.root_disk_size,
        interfaces=[Interface(mac=nic.mac, network=nic.network, bridge=nic.bridge) for nic in domain.nics],
        addresses=rest.addresses,
        initial_password=rest.password,
        console=Console(
            command=f"virsh -c '{node.uri}' console {domain.name}",
            log_path=domain.console_log,
            graphical=graphical,
            vnc_port=domain.vnc_port if graphical else None,
            vnc_password=rest.vnc_password if graphical else None,
        ),
        boot_order=[disk.target for disk in ordered],
        accelerator=domain.accelerator,
        state=domain.state,
    )


def _addresses(ctx: Context, node: Node, domain: Domain, before: ServerState | None) -> list[str]:
    """The addresses seen now; a running guest whose lease is not to be seen just now keeps those it had."""
    if domain.state != "running":
        return []
    try:
        seen = [found.address for found in node.domains.addresses(ctx, domain.uuid)]
    except KilnError as error:
        ctx.log.debug(f"addresses of '{domain.name}' are not known: {error}")
        seen = []
    return seen or list((before.addresses if before is not None else None) or [])


def _own_root(ctx: Context, node: Node, domain: Domain) -> Volume | None:
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


def _inputs(ctx: Context, node: Node, domain: Domain, known: Known, root: Volume | None) -> ServerInputs:
    """The inputs with every property that drifted replaced by what is there."""
    base = known.inputs or _imported(ctx, node, domain, known, root)
    drift: dict[str, object] = {"name": domain.name, "node": known.uri}
    if (memory := _other_than(base.memory.kib, domain.current_memory, domain.memory)) is not None:
        drift["memory"] = Size.of(memory * 1024)
    if (vcpus := _other_than(base.vcpus, domain.current_vcpus, domain.vcpus)) is not None:
        drift["vcpus"] = vcpus
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
    drift |= _disk_drift(ctx, node, domain, base) | _nic_drift(domain, known, base)
    return base.model_copy(update=drift)


def _other_than(stated: int, *seen: int | None) -> int | None:
    """The first of what is seen that is not what is stated."""
    return next((value for value in seen if value not in (None, stated)), None)


def _disk_drift(ctx: Context, node: Node, domain: Domain, base: ServerInputs) -> dict[str, object]:
    """Disks in their order, hard disks and CDs each by themselves, without those that belong to the server."""
    root, seed = storage.own_refs(ctx, node.volumes, base, domain)
    hard: list[str] = []
    cds: list[str] = []
    root_there = False
    for disk in sorted(domain.disks, key=_bus_order):
        if disk.path is None:
            continue
        own = {root.name: root, seed.name: seed}.get(disk.path.rpartition("/")[2])
        if own is not None and storage.is_own(ctx, node.volumes, own):
            root_there = root_there or (own == root and node.volumes.exists(ctx, own))
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


def _nic_drift(domain: Domain, known: Known, base: ServerInputs) -> dict[str, object]:
    """Interfaces compare by what a program states; what it left out compares with what the node gave before."""
    asked = base.networks if base.networks is not None else [Nic()]
    before = list((known.state.interfaces if known.state is not None else None) or [])
    seen = list(domain.nics)
    same = len(asked) == len(seen) and all(
        nic.mac == (want.mac or mac_address(domain.uuid, index))
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
