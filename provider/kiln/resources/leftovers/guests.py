"""Guests that are left over, and seeds that guests have read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial

from kiln.framework.context import Context
from kiln.framework.errors import NotFound
from kiln.ports.domains import Domain
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.resources.leftovers.model import Leftover, require_unchanged, why_marked
from kiln.resources.ownership import release_volume
from kiln.resources.server.layout import SEED_TARGET
from kiln.resources.server.seeds import ended_seed, remove_seed
from kiln.resources.server.storage import made_with


def guests(ctx: Context, node: Node, there: Sequence[Domain], known: Collection[str] | None) -> Iterator[Leftover]:
    """Those of the guests that are ``there`` that are left over; of the others the seeds of ended first boots."""
    for domain in there:
        mark = domain.mark
        if mark is None:
            continue
        why = why_marked(mark, domain.uuid, known)
        if why is not None:
            remove = partial(_remove, node, domain, mark)
            yield Leftover("guest", domain.uuid, domain.name, "", why, mark.urn, mark.made, remove)
        elif (seed := ended_seed(ctx, node, domain)) is not None:
            path = next((disk.path for disk in domain.disks if disk.target == SEED_TARGET), None)
            remove = partial(remove_seed, node, domain.uuid, seed)
            why = "the first boot that reads it has ended"
            yield Leftover("seed", str(seed), domain.name, path or "", why, mark.urn, mark.made, remove)


def _remove(node: Node, domain: Domain, found: Mark, ctx: Context) -> None:
    try:
        now = node.domains.get(ctx, domain.uuid)
    except NotFound:
        return  # somebody was faster
    require_unchanged(f"guest '{domain.name}'", found, now.mark)
    made = made_with(ctx, node.volumes, now)
    node.domains.destroy(ctx, domain.uuid)
    node.domains.undefine(ctx, domain.uuid)
    for ref in made.values():
        release_volume(ctx, node.volumes, ref)
