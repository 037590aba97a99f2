"""The networks a server's interfaces are connected to: there before anything is made."""

from __future__ import annotations

from kiln.framework.context import Context
from kiln.framework.errors import InputError, NotFound
from kiln.ports.nodes import Node
from kiln.resources.network.bridges import require_bridge
from kiln.resources.server.layout import Ground, nic_specs
from kiln.resources.server.model import ServerInputs


def require_networks(ctx: Context, node: Node, inputs: ServerInputs, ground: Ground) -> None:
    """Make sure every network and bridge exists and runs. Raises InputError at the interface that names it."""
    stated = inputs.networks is not None
    for index, nic in enumerate(nic_specs(inputs, "", ground, {})):
        path = f"networks[{index}]" if stated else "networks"
        if nic.network is not None:
            _require_network(ctx, node, nic.network, f"{path}.network" if stated else path)
        elif nic.bridge is not None:
            require_bridge(ctx, node, nic.bridge, f"{path}.bridge")


def _require_network(ctx: Context, node: Node, name: str, path: str) -> None:
    try:
        network = node.networks.get(ctx, name)
    except NotFound as error:
        there = ", ".join(sorted(one.name for one in node.networks.list(ctx))) or "none"
        raise InputError(
            path,
            f"there is no network '{name}' on {node.uri}",
            cause=f"its networks are: {there}",
            action="name one of them, give the `name` of a Network of this program, which is made first then, or state "
            "networks=[] for a guest without any",
        ) from error
    if not network.active:
        raise InputError(
            path,
            f"the network '{name}' on {node.uri} does not run",
            action=f"start it (virsh -c '{node.uri}' net-start {name}); one that a Network made is started by the next"
            " `pulumi up --refresh` of its stack",
        )
