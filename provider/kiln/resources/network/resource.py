"""The Network resource: checks, plans, and the order of steps."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, InputError, KilnError, NotFound
from kiln.framework.model import Impact
from kiln.framework.plan import Change, Plan, compare
from kiln.framework.resource import Created, Found, Resource
from kiln.framework.steps import run
from kiln.framework.values import has_unknown
from kiln.ports import networks as ports
from kiln.ports.nodes import Node
from kiln.resources.names import split_import_id
from kiln.resources.network import life
from kiln.resources.network.bridges import refuse_unusable, require_bridge
from kiln.resources.network.checks import refuse_contradictions
from kiln.resources.network.drift import inputs_now, waiting
from kiln.resources.network.model import NetworkInputs, NetworkState
from kiln.resources.network.settings import STATED_IN, same, settings_of
from kiln.resources.ownership import finished, new_mark
from kiln.resources.site import Site


class Network(Resource[NetworkInputs, NetworkState]):
    """A network of a node's, with the addresses, DHCP and DNS that libvirt serves on it.

    Servers name it in `networks`. Reservations, DNS names and the DHCP range change while guests are on it, and they
    notice nothing. For other `addresses`, another `domain` or `mtu` the network is stopped and started: guests that
    run on it are cut off until they are restarted or their interfaces plugged in anew. It is never deleted under them.

    ```python
    import pulumi_kiln as kiln

    lab = kiln.Network(
        "lab",
        addresses=["10.17.3.1/24"],
        domain="lab.example",
        reservations=[{"mac": "52:54:00:17:03:20", "address": "10.17.3.20", "hostname": "web"}],
    )
    web = kiln.Server(
        "web",
        image="kiln/debian-12",
        networks=[{"network": lab.name, "mac": "52:54:00:17:03:20"}],
    )
    ```
    """

    name: ClassVar[str] = "Network"
    Inputs = NetworkInputs
    State = NetworkState
    delete_first = True

    def __init__(self, site: Site) -> None:
        self._site = site

    def check(self, ctx: Context, new: NetworkInputs, old: NetworkInputs | None) -> NetworkInputs:
        """Resolve the node; refuse combinations that cannot work, nodes that have no networks, and a replacement whose
        bridge cannot be."""
        uri = self._site.uri_for(new.node, old.node if old else None)
        refuse_contradictions(new)
        node = self._site.node_to_look_at(ctx, uri)
        if node is not None:
            _require_system(node)
        checked = new.model_copy(update={"node": uri})
        if old is not None:
            self._site.look(ctx, uri, lambda node: refuse_unusable(ctx, node, checked, old))
        return checked

    def diff(self, ctx: Context, id: str, state: NetworkState, old: NetworkInputs, new: NetworkInputs) -> Plan:
        """The changes that matter, with what they do to the guests that are on the network now."""
        changes = [change for change in compare(state, new) if not _is_so(change, state, new)]
        changes = list(self._site.weigh_node(ctx, state.node_identity, changes))
        if any(change.impact is not Impact.LIVE for change in changes):
            changes = list(_weighed(changes, self._users(ctx, state)))
        return Plan(tuple(changes), delete_first=True)

    def _users(self, ctx: Context, state: NetworkState) -> list[str] | None:
        """The running guests on the network, None where the node cannot be asked."""
        node = self._site.node_to_look_at(ctx, state.node)
        bridge = None if state.mode == "bridge" else state.bridge_name
        try:
            return None if node is None else life.users(ctx, node, state.name, bridge)
        except Cancelled:
            raise
        except KilnError as error:
            ctx.log.debug(f"the guests on '{state.name}' cannot be looked at: {error}")
            return None

    def create(self, ctx: Context, inputs: NetworkInputs) -> Created[NetworkState]:
        """Define the network, start it and mark it done; undone on failure."""
        node = self._site.node_to_change(ctx, inputs.node)
        _require_system(node)
        if inputs.mode == "bridge" and inputs.bridge is not None:
            require_bridge(ctx, node, inputs.bridge, "bridge")
        mark = new_mark(ctx, "network", seconds=self.timeout)
        spec = ports.NetworkSpec(inputs.name, str(uuids.uuid4()), settings_of(inputs), mark)
        identity, made = node.identity(ctx), list[ports.Network]()
        run(ctx, life.making(node, spec, inputs.autostart, made.append))
        return Created(spec.uuid, _told(inputs, made[-1], identity))

    def read(
        self, ctx: Context, id: str, inputs: NetworkInputs | None, state: NetworkState | None
    ) -> Found[NetworkInputs, NetworkState] | None:
        """The network as it is. An import id is a UUID or a name, with the node's URI after ``@`` when it is
        another."""
        natural, uri = split_import_id(id, inputs.node if inputs is not None and inputs.node else self._site.uri)
        node = self._site.node(ctx, uri)
        try:
            network = _find(ctx, node, natural)
        except NotFound:
            return None
        now = inputs_now(network, uri, inputs)
        return Found(network.uuid, now, _told(now, network, node.identity(ctx)))

    def update(
        self, ctx: Context, id: str, state: NetworkState, old: NetworkInputs, new: NetworkInputs
    ) -> NetworkState:
        """Change the network; guests are cut off only by what it takes no other way. On failure it is as before."""
        node = self._site.node_to_change(ctx, new.node)
        before = node.networks.by_uuid(ctx, id)
        mark = finished(before.mark or new_mark(ctx, "network"))
        spec = ports.NetworkSpec(new.name, id, settings_of(new), mark)
        run(ctx, life.changing(ctx, node, before, spec, new.autostart))
        return _told(new, node.networks.by_uuid(ctx, id), node.identity(ctx))

    def delete(self, ctx: Context, id: str, state: NetworkState) -> None:
        """Stop the network and remove its definition, unless running guests are on it."""
        node = self._site.node_to_change(ctx, state.node)
        try:
            life.refuse_used(ctx, node, node.networks.by_uuid(ctx, id))
        except NotFound:
            return
        run(ctx, life.ending(node, id))


def _is_so(change: Change, state: NetworkState, new: NetworkInputs) -> bool:
    """Whether a changed property only says in other words what is so already."""
    if change.field == "bridge" and new.mode != "bridge":
        return new.bridge in (None, state.bridge_name)
    setting = STATED_IN.get(change.field)
    if setting is None or has_unknown(new.wire()):
        return False
    return same(setting, settings_of(state), settings_of(new))


def _weighed(changes: list[Change], users: list[str] | None) -> Iterator[Change]:
    """The changes with their impact on these guests, and why; None: the guests are not known."""
    for change in changes:
        if change.impact is Impact.RESTART and users == []:
            yield replace(change, impact=Impact.LIVE, reason="no running guest is on the network")
        elif change.impact is Impact.RESTART and users:
            yield replace(change, reason=life.cut_off_by_restart(users))
        elif change.impact is Impact.REPLACE and users:
            yield replace(change, reason=life.kept_by(users))
        else:
            yield change


def _require_system(node: Node) -> None:
    if node.session:
        raise InputError(
            "node",
            f"there are no networks on {node.uri}",
            cause="making one takes rights that a session's libvirt does not have",
            action="use a system node, or leave 'networks' of servers out: they get user-mode networking there",
        )


def _find(ctx: Context, node: Node, natural: str) -> ports.Network:
    try:
        uuids.UUID(natural)
    except ValueError:
        return node.networks.get(ctx, natural)
    return node.networks.by_uuid(ctx, natural)


def _told(inputs: NetworkInputs, network: ports.Network, identity: str) -> NetworkState:
    return NetworkState(
        **dict(inputs),
        node_identity=identity,
        uuid=network.uuid,
        bridge_name=network.bridge,
        active=network.active,
        stopped=None if network.active else True,
        pending_restart=waiting(network) or None,
        transient=network.transient or None,
    )
