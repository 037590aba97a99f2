"""From a guest as the node reports it to a Server's state. Reads only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.framework.resource import Found
from kiln.framework.units import Size
from kiln.ports.domains import Domain
from kiln.ports.nodes import Node
from kiln.resources.server.build import Work
from kiln.resources.server.drift import inputs_now, root_of
from kiln.resources.server.known import Known
from kiln.resources.server.model import Console, Interface, ServerInputs, ServerState
from kiln.resources.server.pending import pending, still_waiting, unfinished


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
    return _state(node, work.inputs, work.domain, rest, work.waits)


def root_size(work: Work) -> Size | None:
    """The size of the root disk as it was seen last."""
    return Size.of(work.root.chain[0].virtual_size) if work.root is not None else None


def found(ctx: Context, node: Node, domain: Domain, known: Known) -> Found[ServerInputs, ServerState]:
    """The guest as it is now, in the shape a program would state it."""
    before = known.state
    root = root_of(ctx, node, domain, known)
    inputs = inputs_now(ctx, node, domain, known, root)
    size = Size.of(root.virtual_size) if root is not None else None
    rest = _Rest(
        node.identity(ctx),
        before.root_disk_size if size is None and before is not None else size,
        _addresses(ctx, node, domain, before),
        before.initial_password if before is not None else None,
        before.vnc_password if before is not None else None,
    )
    told = inputs if before is None else inputs.model_copy(update={"first_boot": before.first_boot})
    waited = before.pending_restart if before is not None else None
    return Found(domain.uuid, inputs, _state(node, told, domain, rest, waited or ()))


def _state(node: Node, inputs: ServerInputs, domain: Domain, rest: _Rest, waited: Collection[str]) -> ServerState:
    """The state; ``waited`` are the properties known to wait for a restart."""
    waits = (still_waiting if inputs.restart_policy == "allowed" else pending)(domain, inputs, waited)
    graphical = domain.graphics == "vnc"
    places = [(disk.boot_order, disk.target) for disk in domain.disks] + [(n.boot_order, n.mac) for n in domain.nics]
    return ServerState(
        **dict(inputs),
        node_identity=rest.identity,
        uuid=domain.uuid,
        root_disk_size=rest.root_disk_size,
        interfaces=[
            Interface(mac=nic.mac, network=nic.network, bridge=nic.bridge) for nic in (domain.live or domain).nics
        ],
        addresses=rest.addresses,
        initial_password=rest.password,
        console=Console(
            command=f"virsh -c '{node.uri}' console {domain.name}",
            log_path=domain.console_log,
            graphical=graphical,
            vnc_port=domain.vnc_port if graphical else None,
        ),
        vnc_password=rest.vnc_password if graphical else None,
        boot_order=[name for place, name in sorted((place, name) for place, name in places if place is not None)],
        accelerator=domain.accelerator,
        state=domain.state,
        pending_restart=waits or None,
        unfinished=unfinished(domain, inputs) or None,
        transient=domain.transient or None,
        renamed=domain.name if domain.name != inputs.name and "name" not in waits else None,
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
