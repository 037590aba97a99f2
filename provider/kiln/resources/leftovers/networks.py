"""Networks that are left over."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial

from kiln.framework.context import Context
from kiln.framework.errors import NotFound
from kiln.ports.marks import Mark
from kiln.ports.networks import Network
from kiln.ports.nodes import Node
from kiln.resources.leftovers.model import Leftover, require_unchanged, why_marked
from kiln.resources.network import life


def networks(ctx: Context, node: Node, known: Collection[str] | None) -> Iterator[Leftover]:
    """Those of the node's networks that are left over."""
    for network in node.networks.list(ctx):
        mark = network.mark
        if mark is not None and (why := why_marked(mark, network.uuid, known)) is not None:
            remove = partial(_remove, node, network, mark)
            yield Leftover("network", network.uuid, network.name, "", why, mark.urn, mark.made, remove)


def _remove(node: Node, network: Network, found: Mark, ctx: Context) -> None:
    try:
        now = node.networks.by_uuid(ctx, network.uuid)
    except NotFound:
        return  # somebody was faster
    require_unchanged(f"network '{network.name}'", found, now.mark)
    life.refuse_used(ctx, node, now)
    life.remove(ctx, node, network.uuid)
