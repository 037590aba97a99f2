"""From a guest as the node reports it to a Server's inputs in desired shape, and to its state. Reads only."""

from __future__ import annotations

from dataclasses import dataclass, field

from kiln.framework.context import Context
from kiln.framework.errors import KilnError, NotFound
from kiln.framework.resource import Found
from kiln.framework.units import Size
from kiln.ports.domains import Domain, DomainDisk
from kiln.ports.nodes import Node
from kiln.resources.server import storage
from kiln.resources.server.build import Work
from kiln.resources.server.layout import mac_address
from kiln.resources.server.model import Console, Nic, ServerInputs, ServerState


@dataclass(frozen=True)
class Known:
    """What is known beforehand about a guest that is read: where it is, and what the state says of it."""

    uri: str
    pool: str
    inputs: ServerInputs | None = None
    state: ServerState | None = None


@dataclass(frozen=True)
class _Rest:
    """What a state holds that neither the inputs nor the domain tell."""

    identity: str
    addresses: list[str]
    password: str | None = field(repr=False)
    vnc_password: str | None = field(repr=False)


def state(node: Node, work: Work) -> ServerState:
    """The state after an operation, from what its steps saw."""
    assert work.domain is not None
    assert work.ground is not None
    rest = _Rest(work.ground.identity, work.addresses, work.password, work.vnc_password)
    return _state(node, work.inputs, work.domain, rest)


def found(ctx: Context, node: Node, domain: Domain, known: Known) -> Found[ServerInputs, ServerState]:
    """The guest as it is now, in the shape a program would state it."""
    inputs = _inputs(ctx, node, domain, known)
    before = known.state
    rest = _Rest(
        node.identity(ctx),
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


def _inputs(ctx: Context, node: Node, domain: Domain, known: Known) -> ServerInputs:
    """The inputs with every property that drifted replaced by what is there."""
    base = known.inputs or ServerInputs(
        name=domain.name, node=known.uri, pool=known.pool, disks=[], networks=[], firmware=domain.firmware,
        graphics="vnc" if domain.graphics == "vnc" else "none",
    )  # fmt: skip
    drift: dict[str, object] = {"name": domain.name, "node": known.uri}
    if base.memory.kib != domain.memory:
        drift["memory"] = Size.of(domain.memory * 1024)
    if base.vcpus != domain.vcpus:
        drift["vcpus"] = domain.vcpus
    if base.autostart != domain.autostart:
        drift["autostart"] = domain.autostart
    if (base.description or None) != (domain.description or None):
        drift["description"] = domain.description
    power = "running" if domain.state == "running" else "stopped"
    if base.power_state != power:
        drift["power_state"] = power
    drift |= _disk_drift(ctx, node, domain, base) | _nic_drift(domain, base, node)
    return base.model_copy(update=drift)


def _disk_drift(ctx: Context, node: Node, domain: Domain, base: ServerInputs) -> dict[str, object]:
    own = {storage.root_ref(base), storage.seed_ref(base)}
    ids: list[str] = []
    root_there = False
    for disk in sorted(domain.disks, key=_bus_order):
        if disk.path is None:
            continue
        try:
            ref = node.volumes.by_path(ctx, disk.path).ref
        except NotFound:
            ids.append(disk.path)
            continue
        root_there = root_there or ref == storage.root_ref(base)
        if ref not in own:
            ids.append(str(ref))
    drift: dict[str, object] = {}
    if sorted(ids) != sorted(base.disks or []):
        drift["disks"] = ids or None
    if base.image is not None and not root_there:
        drift["image"] = None
    return drift


def _bus_order(disk: DomainDisk) -> tuple[int, str]:
    return len(disk.target), disk.target


def _nic_drift(domain: Domain, base: ServerInputs, node: Node) -> dict[str, object]:
    """Interfaces compare by what a program can state; one that it left out is filled with what the node gave."""
    asked = base.networks if base.networks is not None else [Nic()]
    seen = list(domain.nics)
    same = len(asked) == len(seen) and all(
        nic.mac == (want.mac or mac_address(domain.uuid, index))
        and (want.network is None or (nic.kind == "network" and nic.source == want.network))
        and (want.bridge is None or (nic.kind == "bridge" and nic.source == want.bridge))
        and (nic.model or "virtio") == want.model
        for index, (want, nic) in enumerate(zip(asked, seen, strict=False))
    )
    if same:
        return {}
    return {
        "networks": [
            Nic(
                network=nic.source if nic.kind == "network" else None,
                bridge=nic.source if nic.kind == "bridge" else None,
                mac=nic.mac,
                model=nic.model if nic.model in ("virtio", "e1000", "e1000e", "rtl8139") else "virtio",
            )
            for nic in seen
        ]
    }
