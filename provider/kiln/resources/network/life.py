"""What is done with a network, step by step, and the guests that are on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from kiln.framework.context import Context
from kiln.framework.errors import Conflict, NotFound, Refused
from kiln.framework.steps import Step
from kiln.ports.networks import Network, NetworkSettings, NetworkSpec
from kiln.ports.nodes import Node
from kiln.resources.names import listed
from kiln.resources.network.settings import needs_restart
from kiln.resources.ownership import finished, refuse_taken


def making(node: Node, spec: NetworkSpec, autostart: bool, made: Callable[[Network], None]) -> list[Step]:
    """The steps of a new network, all of them undone when one fails: nobody is on it yet. ``made`` is told of it."""
    networks = node.networks

    def define(ctx: Context) -> None:
        _make_room(ctx, node, spec.name)
        try:
            networks.define(ctx, spec)
        except Conflict as error:  # somebody was faster
            error.at(path="name")
            raise

    return [
        Step("define network", define, lambda ctx: remove(ctx, node, spec.uuid)),
        Step("start network", lambda ctx: networks.start(ctx, spec.uuid)),
        Step("set autostart", lambda ctx: networks.set_autostart(ctx, spec.uuid, autostart)),
        Step("mark done", lambda ctx: made(networks.define(ctx, replace(spec, mark=finished(spec.mark))))),
    ]


def changing(ctx: Context, node: Node, before: Network, spec: NetworkSpec, autostart: bool) -> list[Step]:
    """The steps that change a network; when one fails, it is put back to what it was. Raises NotFound."""
    networks = node.networks

    def define(ctx: Context) -> None:
        networks.define(ctx, spec)

    return [
        Step("define network", define, _way_back(ctx, node, before)),
        Step("bring network up", lambda ctx: bring_up(ctx, node, before, spec.settings)),
        Step(
            "set autostart",
            lambda ctx: networks.set_autostart(ctx, spec.uuid, autostart),
            lambda ctx: networks.set_autostart(ctx, spec.uuid, before.autostart),
        ),
    ]


def ending(node: Node, uuid: str) -> list[Step]:
    """The steps that make an end of a network that no guest is on."""
    return [
        Step("stop network", lambda ctx: node.networks.stop(ctx, uuid)),
        Step("undefine network", lambda ctx: node.networks.undefine(ctx, uuid)),
    ]


def _way_back(ctx: Context, node: Node, before: Network) -> Callable[[Context], None]:
    """What puts a network back to what it is now, in the words of the one who defined it. Raises NotFound."""
    networks, uuid = node.networks, before.uuid
    defined = networks.definition(ctx, uuid)
    ran = networks.definition(ctx, uuid, live=True) if before.active else None

    def go_back(ctx: Context) -> None:
        if ran is None:
            networks.stop(ctx, uuid)
        else:
            networks.restore(ctx, ran)  # what it starts with, if it has to
            bring_up(ctx, node, before, before.live or before.settings)
        networks.restore(ctx, defined)
        if before.transient:
            networks.undefine(ctx, uuid)

    return go_back


def bring_up(ctx: Context, node: Node, network: Network, wanted: NetworkSettings) -> None:
    """Make the network active as it is defined, which is as it is ``wanted``, with the least disturbance of guests."""
    live = node.networks.by_uuid(ctx, network.uuid).live
    if live is not None and not needs_restart(live, wanted):
        node.networks.change_live(ctx, network.uuid, wanted)
        return
    cut_off = users(ctx, node, network.name, own_bridge(network))
    if live is not None:
        node.networks.stop(ctx, network.uuid)
    node.networks.start(ctx, network.uuid)
    if cut_off:
        ctx.log.warning(
            f"the network '{network.name}' was started, and {_guests(cut_off)} cut off from it until restarted or"
            " until the interface is plugged in anew (virsh detach-interface, attach-interface)"
        )


def remove(ctx: Context, node: Node, uuid: str) -> None:
    """Stop and undefine a network; gone is a success."""
    node.networks.stop(ctx, uuid)
    node.networks.undefine(ctx, uuid)


def users(ctx: Context, node: Node, name: str, bridge: str | None) -> list[str]:
    """The names of the running guests with an interface on the network, or on its ``bridge``: the one that libvirt
    makes for it, None for one of the host's, which is there without the network."""
    return sorted(
        domain.name
        for domain in node.domains.list(ctx)
        if domain.state in ("running", "paused")
        and any(
            nic.network == name or (nic.bridge is not None and nic.bridge == bridge)
            for nic in (domain.live or domain).nics
        )
    )


def refuse_used(ctx: Context, node: Node, network: Network) -> None:
    """Refuse to delete an active network under running guests, which would be cut off without a word. Raises Refused
    naming them."""
    found = users(ctx, node, network.name, own_bridge(network)) if network.active else []
    if found:
        raise Refused(
            f"network '{network.name}' is in use and stays",
            cause=f"{_guests(found)} on it",
            action="stop them, or give their interfaces another network in an `up` of its own, and run again",
        )


def cut_off_by_restart(found: Sequence[str]) -> str:
    """Why a change that stops the network matters to the guests that were found on it."""
    return f"the network stops and starts, and {_guests(found)} cut off until restarted or plugged in anew"


def kept_by(found: Sequence[str]) -> str:
    """What stands in the way of a replacement."""
    return f"refused as long as {_guests(found)} on it"


def own_bridge(network: Network) -> str | None:
    """The bridge that libvirt makes for a network, None for one on a bridge of the host's."""
    return None if (network.live or network.settings).mode == "bridge" else network.bridge


def _guests(names: Sequence[str]) -> str:
    shown = listed([f"'{name}'" for name in names])
    return f"the running guest {shown} is" if len(names) == 1 else f"the running guests {shown} are"


def _make_room(ctx: Context, node: Node, name: str) -> None:
    """Clear the name of what a dead operation left. Raises Conflict at ``name``, and Refused there when guests run on
    what is left."""
    try:
        found = node.networks.get(ctx, name)
    except NotFound:
        return
    refuse_taken("network", name, found.mark, import_it=f"`pulumi import kiln:index:Network NAME {found.uuid}`")
    try:
        refuse_used(ctx, node, found)
    except Refused as error:
        error.at(path="name")
        raise
    ctx.log.debug(f"removing what a dead operation left of network '{name}'")
    remove(ctx, node, found.uuid)
