"""What a guest that was undefined behind Kiln's back left: its root disk and its seed.

Nobody's state holds them any more, and the server made again wants their names. A root disk may hold data, so it is
used again and never deleted; a seed without its guest is of no use. Both only for the same resource (its URN), and only
while no guest has them attached.
"""

from __future__ import annotations

from kiln.framework.context import Context
from kiln.framework.errors import NotFound
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume, VolumeRef
from kiln.resources import cloning
from kiln.resources.ownership import release_volume
from kiln.resources.server import storage
from kiln.resources.server.build import Work
from kiln.resources.server.layout import Attached


def take_back_root(ctx: Context, node: Node, work: Work) -> Attached | None:
    """The root disk of this server's earlier guest, None when there is none that fits what is asked for now."""
    ref, plan = storage.root_ref(work.inputs), work.root_plan
    volume = _left(ctx, node, ref, "root")
    if volume is None or plan is None:
        return None
    base = plan.image.chain[0].path if plan.clone.method == "linked" else None
    if volume.backing != base or volume.virtual_size > plan.clone.virtual_size:
        return None
    cloning.grow(ctx, node.volumes, ref, plan.clone.virtual_size)
    ctx.log.info(f"the guest is gone and its root disk '{ref}' is still there: it is used again, with its data")
    return Attached(node.volumes.chain(ctx, ref))


def drop_seed(ctx: Context, node: Node, work: Work) -> None:
    """Delete the seed of this server's earlier guest, if there is one."""
    ref = storage.seed_ref(work.inputs)
    if _left(ctx, node, ref, "seed") is not None:
        release_volume(ctx, node.volumes, ref)


def _left(ctx: Context, node: Node, ref: VolumeRef, role: str) -> Volume | None:
    mark = node.volumes.read_mark(ctx, ref)
    if mark is None or mark.phase != "done" or mark.role != role or not ctx.urn or mark.urn != ctx.urn:
        return None
    try:
        volume = node.volumes.get(ctx, ref)
    except NotFound:
        return None
    attached = {disk.path for domain in node.domains.list(ctx) for disk in domain.disks}
    return None if volume.path in attached else volume
