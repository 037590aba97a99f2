"""Snapshots that are left over."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from kiln.framework.context import Context
from kiln.framework.errors import NotFound
from kiln.ports.domains import Domain
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.ports.snapshots import Snapshot
from kiln.resources.leftovers.model import Leftover, require_unchanged, why_marked
from kiln.resources.snapshot import life


def snapshots(ctx: Context, node: Node, guest: Domain, known: Collection[str] | None) -> list[Leftover]:
    """Those of a guest's snapshots that are left over."""
    found = []
    for snapshot in node.snapshots.list(ctx, guest.uuid):
        id, mark = f"{guest.uuid}/{snapshot.name}", snapshot.mark
        if mark is not None and (why := why_marked(mark, id, known)) is not None:
            remove = partial(_remove, node, snapshot, mark)
            name = f"{guest.name}/{snapshot.name}"
            found.append(Leftover("snapshot", id, name, "", why, mark.urn, mark.made, remove))
    return found


def _remove(node: Node, snapshot: Snapshot, found: Mark, ctx: Context) -> None:
    try:
        now = node.snapshots.get(ctx, snapshot.guest, snapshot.name)
    except NotFound:
        return  # somebody was faster, or it went with its guest
    require_unchanged(f"snapshot '{snapshot.name}'", found, now.mark)
    life.remove(ctx, node, now)
