"""Bringing a disk to the pool, name and format that its inputs ask for, and saying beforehand what that does."""

from __future__ import annotations

from dataclasses import replace

from kiln.framework.context import Context
from kiln.framework.errors import PartialCreate
from kiln.framework.plan import Change
from kiln.framework.steps import KeptFailure, Step, run
from kiln.framework.units import Size
from kiln.framework.values import UNKNOWN, render_path
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume, VolumeRef
from kiln.resources.disk.model import DiskInputs, DiskState
from kiln.resources.disk.moving import Hop, Move, next_hop
from kiln.resources.disk.releasing import copy_at_home, delete_old, finish
from kiln.resources.disk.uses import has_gone, how, refuse_moving, where
from kiln.resources.ownership import new_mark
from kiln.resources.places import find, place_of, told
from kiln.resources.site import Site

MOVES = ("pool", "name", "format")
"""What of a disk changes by moving it."""
_MOVED_WHOLE = "full: it was moved"
_SECONDS = 86400.0


def look_at_move(ctx: Context, site: Site, id: VolumeRef, state: DiskState, new: DiskInputs, change: Change) -> str:
    """What moving the disk will be like, as far as the node tells. Raises InputError where it cannot be moved."""

    def look(node: Node) -> str:
        volume = node.volumes.get(ctx, where(ctx, node, id))
        return how(volume, refuse_moving(ctx, node, volume, render_path(change.path), cd=state.kind == "iso"))

    seen = None if UNKNOWN in (new.pool, new.name) else site.look(ctx, state.node, look)
    return seen or "copied, then switched"


def moved(ctx: Context, site: Site, node: Node, id: VolumeRef, state: DiskState, new: DiskInputs) -> Volume:
    """The volume of the disk known as ``id``, once it is where and what it should be.

    Raises:
        PartialCreate: its guest has it there, and what follows that could not be done.
        KilnError: it cannot be moved, and is what it was.
    """
    recover(ctx, node, id, state)
    volume = node.volumes.get(ctx, place_of(ctx, node.volumes, id))
    to, cd = VolumeRef(new.pool, new.name), state.kind == "iso"
    while (hop := next_hop(volume, to, None if cd else new.format)) is not None:
        path = "format" if hop.to.name != to.name else "pool" if volume.ref.pool != to.pool else "name"
        refuse_moving(ctx, node, volume, path, cd=cd)
        site.ensure_pool(ctx, new.node, to.pool)
        move = Move(
            node, id, volume, hop, new_mark(ctx, "disk", seconds=_SECONDS, info=_info(ctx, node, volume, state))
        )
        try:
            run(ctx, move.steps())
        except KeptFailure as failure:
            raise PartialCreate(str(id), as_it_is(state, new, move.new), [failure.error.located()]) from failure
        volume = node.volumes.get(ctx, hop.to)
    return volume


def recover(ctx: Context, node: Node, id: VolumeRef, state: DiskState) -> None:
    """End a move of the disk known as ``id`` that died: finish it where a guest has the copy, else undo it."""
    run(ctx, [Step("finish earlier move", lambda ctx: finish(ctx, node, id))])
    volumes, place = node.volumes, find(ctx, node.volumes, id)
    if place.next is None:
        if lost := copy_at_home(ctx, volumes, id, place):
            run(ctx, [Step("discard copy", lambda ctx: delete_old(ctx, node, id, lost))])
        return
    old, mark = volumes.get(ctx, place.ref), volumes.read_mark(ctx, place.ref)
    made = new_mark(ctx, "disk", seconds=_SECONDS, info=_info(ctx, node, old, state))
    move = Move(node, id, old, Hop(place.next), made)
    if has_gone(ctx, node, place.ref, place.next):
        run(ctx, move.rest(ctx))
    elif mark is not None:
        stays = replace(mark, info=told(mark.info, id=id))
        run(
            ctx,
            [
                Step("discard copy", move.discard),
                Step("recall move", lambda ctx: volumes.write_mark(ctx, place.ref, stays)),
            ],
        )


def as_it_is(state: DiskState, new: DiskInputs, volume: Volume) -> DiskState:
    """The state of a disk that was changed."""
    seen = {
        "path": volume.path,
        "virtual_size": Size.of(volume.virtual_size),
        "stored_format": volume.format,
        "allocation": Size.of(volume.allocation),
        "backing": volume.backing,
        "moving": None,
        "clone_method": _MOVED_WHOLE if state.backing and not volume.backing else state.clone_method,
    }
    return state.model_copy(update={**dict(new), **seen})


def _info(ctx: Context, node: Node, volume: Volume, state: DiskState) -> dict[str, str]:
    """What the mark of the moved disk says of where its content came from."""
    mark = node.volumes.read_mark(ctx, volume.ref)
    info = {"kind": state.kind, **(mark.info if mark is not None else {})}
    return info | {"clone": _MOVED_WHOLE} if volume.backing is not None else info
