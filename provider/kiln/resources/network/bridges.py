"""The bridge that a network is made on or with, before it is made."""

from __future__ import annotations

from kiln.framework.context import Context
from kiln.framework.errors import InputError, NotFound
from kiln.framework.values import UNKNOWN
from kiln.ports.networks import Network
from kiln.ports.nodes import Node
from kiln.resources.network.life import own_bridge
from kiln.resources.network.model import NetworkInputs

_REPLACING = ("name", "node", "mode", "bridge")


def require_bridge(ctx: Context, node: Node, name: str, path: str) -> None:
    """See that a host bridge is there, where anybody can tell. Raises InputError at ``path``."""
    if node.networks.has_bridge(ctx, name) is False:
        raise InputError(path, f"there is no bridge '{name}' on {node.uri}", action="make it, or name another")


def refuse_unusable(ctx: Context, node: Node, new: NetworkInputs, old: NetworkInputs) -> None:
    """Refuse to replace a network by one whose bridge cannot be: the old one would be deleted for nothing. Raises
    InputError."""
    name = new.bridge
    if name is None or name is UNKNOWN or new.mode is UNKNOWN or not _replaces(new, old):
        return
    before = _named(ctx, node, old.name)
    its_own = None if before is None else own_bridge(before)
    if new.mode == "bridge" and name == its_own:
        raise InputError(
            "bridge",
            f"'{name}' is there only while the network '{old.name}' is, which this change deletes",
            action="name a bridge of the host's",
        )
    if new.mode == "bridge":
        require_bridge(ctx, node, name, "bridge")
    elif name != its_own and _taken(ctx, node, name):
        raise InputError(
            "bridge",
            f"there is an interface or a network's bridge '{name}' on {node.uri} already",
            action="name another, or leave it out and let libvirt choose",
        )


def _replaces(new: NetworkInputs, old: NetworkInputs) -> bool:
    return any(getattr(new, field) != getattr(old, field) for field in _REPLACING)


def _named(ctx: Context, node: Node, name: str) -> Network | None:
    try:
        return node.networks.get(ctx, name)
    except NotFound:
        return None


def _taken(ctx: Context, node: Node, name: str) -> bool:
    """Whether libvirt would refuse to make a bridge of that name."""
    there = any(own_bridge(network) == name for network in node.networks.list(ctx))
    return there or bool(node.networks.has_interface(ctx, name))
