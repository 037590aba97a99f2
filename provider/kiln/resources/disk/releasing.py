"""Letting go of what a disk was stored in: its old volume after a move, and all of it in the end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from kiln.framework.context import Context
from kiln.framework.errors import NotFound, Refused
from kiln.ports.nodes import Node
from kiln.ports.volumes import VolumeRef, Volumes
from kiln.resources import places
from kiln.resources.disk.uses import uses
from kiln.resources.names import listed


def finish(ctx: Context, node: Node, id: VolumeRef) -> None:
    """Delete what a move of the disk known as ``id`` left of its old volume."""
    try:
        mark = node.volumes.read_mark(ctx, id)
    except NotFound:
        return
    old = places.old_copy(mark)
    if mark is None or old is None:
        return
    delete_old(ctx, node, id, old)
    told = places.told(mark.info, id=id, to=places.moved_to(mark))
    node.volumes.write_mark(ctx, id, replace(mark, info=told))


def copy_at_home(ctx: Context, volumes: Volumes, id: VolumeRef, place: places.Place) -> VolumeRef | None:
    """The volume under the id of a disk that is elsewhere: a copy that a move back to there left, which died before it
    was announced."""
    if id in (place.ref, place.next):
        return None
    try:
        return id if volumes.exists(ctx, id) else None
    except NotFound:  # its pool is gone
        return None


def release(ctx: Context, node: Node, id: VolumeRef, place: VolumeRef, *, keep: bool = False) -> None:
    """Delete a disk with all its marks; with ``keep`` the volume stays, and is nobody's."""
    volumes = node.volumes
    finish(ctx, node, id)
    home = id
    with suppress(NotFound):  # a pool that is not there has no marks
        home = id if id != place else places.known_as(volumes.read_mark(ctx, place), place)
    if not keep:
        volumes.delete(ctx, place)
    volumes.delete_mark(ctx, place)
    with suppress(NotFound):
        if home != place and places.moved_to(volumes.read_mark(ctx, home)) == place:
            volumes.delete_mark(ctx, home)


def delete_old(ctx: Context, node: Node, id: VolumeRef, old: VolumeRef) -> None:
    """Delete a volume that the disk known as ``id`` was in before. Raises Refused while a guest has it."""
    try:
        users = uses(ctx, node, node.volumes.get(ctx, old).path)
    except NotFound:
        users = []
    if users:
        raise Refused(
            f"the old volume '{old}' of a disk that was moved stays",
            cause=f"{listed(repr(use.name) for use in users)} has it",
            action="take it out of that guest, and run again",
        )
    node.volumes.delete(ctx, old)
    if old != id:
        node.volumes.delete_mark(ctx, old)
