"""Where disks are. A disk keeps the id it was made with, ``<pool>/<volume>``, also when it is moved.

::

    kiln/data   the id: a mark "movedTo: fast/data" stays there, so that nothing else takes the name
    fast/data   the volume, whose mark says "id: kiln/data"

Either alone proves nothing: the two have to name each other. Where the pool of the id is gone, the mark beside the
volume is looked for in all pools. While a disk is moved, the mark of what it is in says "movingTo": from then on its
guest may have the copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, KilnError, NotFound, Refused, Unreachable
from kiln.ports.marks import Mark
from kiln.ports.volumes import VolumeRef, Volumes

MOVED = "moved"
"""The role of the mark that is left where a disk was made."""
_ID, _TO, _NEXT, _OLD = "id", "movedTo", "movingTo", "old"


@dataclass(frozen=True)
class Place:
    """The volume that a disk is in, the one that it is being moved to, which its guest may have by now, and the one
    that it was in before and that is still to be deleted."""

    ref: VolumeRef
    next: VolumeRef | None = None
    old: VolumeRef | None = None


def known_as(mark: Mark | None, ref: VolumeRef) -> VolumeRef:
    """The id of the disk that is stored in the volume ``ref``, by the volume's mark."""
    return _entry(mark, _ID) or ref


def moved_to(mark: Mark | None) -> VolumeRef | None:
    """Where the disk went that was made under the name with this mark, None when it went nowhere."""
    return _entry(mark, _TO)


def old_copy(mark: Mark | None) -> VolumeRef | None:
    """The volume that the disk whose id has this mark was in before, while it is still to be deleted."""
    return _entry(mark, _OLD)


def place_of(ctx: Context, volumes: Volumes, id: VolumeRef) -> VolumeRef:
    """The volume that the disk known as ``id`` is in; ``id`` itself for what was never moved, or is not there.

    Raises Refused for one that is being moved: which of the two volumes is the disk, only its guest can tell."""
    place = find(ctx, volumes, id)
    if place.next is not None:
        raise Refused(
            f"disk '{id}' is being moved from '{place.ref}' to '{place.next}'",
            cause="another run does it, or one that died left it unfinished",
            action="wait for that run to end; else `pulumi refresh` and `pulumi up` of the stack that has the disk",
        )
    return place.ref


def find(ctx: Context, volumes: Volumes, id: VolumeRef, seen: VolumeRef | None = None) -> Place:
    """Where the disk known as ``id`` is, by the marks; ``seen`` is where it was when it was last looked at."""
    try:
        mark = volumes.read_mark(ctx, id)
    except NotFound:  # the pool it was made in is gone
        return _search(ctx, volumes, id, seen)
    to = moved_to(mark)
    if to is None:
        return Place(id, _entry(mark, _NEXT), old_copy(mark))
    try:
        there = volumes.read_mark(ctx, to)
    except NotFound:
        return Place(id)
    return Place(to, _entry(there, _NEXT), old_copy(mark)) if known_as(there, to) == id else Place(id)


def told(
    info: Mapping[str, str],
    *,
    id: VolumeRef,
    to: VolumeRef | None = None,
    next: VolumeRef | None = None,
    old: VolumeRef | None = None,
) -> dict[str, str]:
    """What a mark says of a disk besides ``info``: its id, where it went ``to`` and where it goes ``next``, the ``old``
    copy to be deleted."""
    kept = {key: value for key, value in info.items() if key not in (_ID, _TO, _NEXT, _OLD)}
    says = {_ID: id, _TO: to, _NEXT: next, _OLD: old}
    return kept | {key: str(value) for key, value in says.items() if value is not None}


def _search(ctx: Context, volumes: Volumes, id: VolumeRef, seen: VolumeRef | None) -> Place:
    """Where the disk is by the mark beside its volume alone. All marks are read only where it is not as it was
    ``seen``: a refresh asks this for every disk whose first pool is gone."""
    with suppress(NotFound):
        mark = None if seen is None else volumes.read_mark(ctx, seen)
        if seen is not None and mark is not None and _is_at(mark, seen, id) and _entry(mark, _NEXT) is None:
            return Place(seen)
    found = [(ref, mark) for ref, mark in _all_marks(ctx, volumes) if _is_at(mark, ref, id)]
    # Of two, the new one is told to be the disk before the old one is told not to be.
    ref, mark = max(found, key=lambda each: each[1].made or 0, default=(id, None))
    return Place(ref, _entry(mark, _NEXT))


def _is_at(mark: Mark, ref: VolumeRef, id: VolumeRef) -> bool:
    return mark.phase == "done" and mark.role != MOVED and ref != id and known_as(mark, ref) == id


def _all_marks(ctx: Context, volumes: Volumes) -> Iterator[tuple[VolumeRef, Mark]]:
    for pool in volumes.pools(ctx):
        try:
            yield from volumes.marks(ctx, pool.name) if pool.active else ()
        except (Unreachable, Cancelled):
            raise
        except KilnError as error:
            ctx.log.debug(f"pool '{pool.name}' was not looked into: {error}")


def _entry(mark: Mark | None, name: str) -> VolumeRef | None:
    text = mark.info.get(name) if mark is not None else None
    if text is None:
        return None
    pool, _, volume = text.partition("/")
    return VolumeRef(pool, volume)
