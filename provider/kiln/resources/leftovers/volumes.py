"""Volumes with a mark that are left over."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial

from kiln.framework.context import Context
from kiln.framework.errors import NotFound
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.ports.volumes import VolumeRef
from kiln.resources.image import release_image
from kiln.resources.leftovers.model import Leftover, require_unchanged, why_marked
from kiln.resources.ownership import refuse_overlaid
from kiln.resources.places import MOVED, find, known_as
from kiln.transfer.upload import discard_temporaries


def volumes(
    ctx: Context,
    node: Node,
    marks: Mapping[VolumeRef, Mark],
    known: Collection[str] | None,
    attached: Collection[str],
) -> Iterator[Leftover]:
    """Those of a pool's marked volumes that are left over. What a guest has ``attached`` goes with the guest."""
    names = {ref.name for ref in marks}
    for ref, mark in marks.items():
        path = _path(ctx, node, ref)
        if path in attached:
            continue
        leads = mark.role == MOVED and find(ctx, node.volumes, ref).ref != ref
        why = why_marked(mark, str(ref), known) if leads else _why(ref, mark, path, known, names)
        if why is not None:
            remove = partial(_remove, node, ref, mark)
            yield Leftover("volume", str(ref), ref.name, path or "", why, mark.urn, mark.made, remove)


def _why(
    ref: VolumeRef, mark: Mark, path: str | None, known: Collection[str] | None, names: Collection[str]
) -> str | None:
    if mark.phase == "creating":
        return why_marked(mark, str(ref), known)
    if path is None:
        return "a mark without its volume"
    match mark.role:
        case "image" | "disk":
            return (
                None if known is not None and str(ref) in known else why_marked(mark, str(known_as(mark, ref)), known)
            )
        case "root":
            # No state names a root disk: it is kept for the server it was made for, which takes it back.
            return why_marked(mark, mark.urn, known)
        case "seed":
            return "no guest reads this seed"
        case "kernel" | "initrd":
            return None if ref.name.removesuffix(f".{mark.role}") in names else "its image is gone"
        case _:
            return None


def _path(ctx: Context, node: Node, ref: VolumeRef) -> str | None:
    try:
        return node.volumes.get(ctx, ref).path
    except NotFound:
        return None


def _remove(node: Node, ref: VolumeRef, found: Mark, ctx: Context) -> None:
    now = node.volumes.read_mark(ctx, ref)
    if now is None and _path(ctx, node, ref) is None:
        return  # it went with its image
    require_unchanged(f"volume '{ref}'", found, now)
    refuse_overlaid(ctx, node.volumes, ref, "volume")
    discard_temporaries(ctx, node.volumes, ref.pool, found.operation)
    release_image(ctx, node.volumes, ref)
