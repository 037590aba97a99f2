"""Seeds of first boots that nobody waited for: telling that they have ended, and taking the seeds away."""

from __future__ import annotations

from kiln.framework.context import Context
from kiln.framework.errors import KilnError, NotFound
from kiln.ports.domains import Domain
from kiln.ports.nodes import Node
from kiln.ports.volumes import VolumeRef
from kiln.resources.ownership import release_volume
from kiln.resources.server import waiting
from kiln.resources.server.layout import SEED_TARGET
from kiln.resources.server.storage import instance_id


def remove_ended_seeds(ctx: Context, node: Node) -> None:
    """Take away the seeds of all first boots on a node that have ended.

    A run that changes anything on a node does this once, so that ``waitFor: none`` leaves no seed for long. A seed that
    cannot be removed is left to the next run: the change that is under way is not disturbed.
    """
    for domain in node.domains.list(ctx):
        try:
            seed = ended_seed(ctx, node, domain)
            if seed is not None:
                remove_seed(node, domain.uuid, seed, ctx)
                ctx.log.debug(f"removed the seed of '{domain.name}', whose first boot has ended")
        except KilnError as error:
            ctx.log.debug(f"the seed of '{domain.name}' stays for now: {error}")


def ended_seed(ctx: Context, node: Node, domain: Domain) -> VolumeRef | None:
    """The seed of a guest whose first boot has ended, None when it has none or nothing tells that it has ended.

    The seed of a guest that an operation is still making belongs to that operation.
    """
    seed = next((disk.path for disk in domain.disks if disk.target == SEED_TARGET and disk.path), None)
    if domain.live is None or all(disk.path != seed for disk in domain.live.disks):
        return None  # what is on it is told when the guest starts again
    if seed is None or domain.state != "running" or domain.mark is None or domain.mark.phase != "done":
        return None
    try:
        ref = node.volumes.by_path(ctx, seed).ref
    except NotFound:
        return None
    mark = node.volumes.read_mark(ctx, ref)
    if mark is None or mark.role != "seed":
        return None
    ended = waiting.ended_now(ctx, node, domain.uuid, instance_id(domain.uuid, mark))
    return ref if ended is not None else None


def remove_seed(node: Node, uuid: str, seed: VolumeRef, ctx: Context) -> None:
    """Take a seed out of the live and persistent definitions, then delete it."""
    node.domains.detach_disk(ctx, uuid, SEED_TARGET)
    release_volume(ctx, node.volumes, seed)
