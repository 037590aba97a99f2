"""Where disks are. A disk keeps the id it was made with, ``<pool>/<volume>``, also when it is moved.

::

    kiln/data   the id: a mark "movedTo: fast/data" stays there, so that nothing else takes the name
    fast/data   the volume, whose mark says "id: kiln/data"

Either alone proves nothing: the two have to name each other. Where the pool of the id is gone, the mark beside the
volume is looked for in all pools.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, KilnError, NotFound, Unreachable
from kiln.ports.marks import Mark
from kiln.ports.volumes import VolumeRef, Volumes

MOVED = "moved"
"""The role of the mark that is left where a disk was made."""
_ID, _TO, _OLD = "id", "movedTo", "old"


def known_as(mark: Mark | None, ref: VolumeRef) -> VolumeRef:
    """The id of the disk that is stored in the volume ``ref``, by the volume's mark."""
    return _ref(mark.info[_ID]) if mark is not None and _ID in mark.info else ref


def moved_to(mark: Mark | None) -> VolumeRef | None:
    """Where the disk went that was made under the name with this mark, None when it went nowhere."""
    return _ref(mark.info[_TO]) if mark is not None and _TO in mark.info else None


def old_copy(mark: Mark | None) -> VolumeRef | None:
    """The volume that the disk whose id has this mark was in before, while it is still to be deleted."""
    return _ref(mark.info[_OLD]) if mark is not None and _OLD in mark.info else None


def place_of(ctx: Context, volumes: Volumes, id: VolumeRef) -> VolumeRef:
    """The volume that the disk known as ``id`` is in; ``id`` itself for what was never moved, or is not there."""
    try:
        to = moved_to(volumes.read_mark(ctx, id))
    except NotFound:  # the pool it was made in is gone
        return next((ref for ref, mark in _all_marks(ctx, volumes) if _is_at(mark, ref, id)), id)
    if to is None:
        return id
    try:
        return to if known_as(volumes.read_mark(ctx, to), to) == id else id
    except NotFound:
        return id


def told(
    info: Mapping[str, str], *, id: VolumeRef, to: VolumeRef | None = None, old: VolumeRef | None = None
) -> dict[str, str]:
    """What a mark says of a disk besides ``info``: its id, where it went ``to``, the ``old`` copy to be deleted."""
    kept = {key: value for key, value in info.items() if key not in (_ID, _TO, _OLD)}
    says = {_ID: id, _TO: to, _OLD: old}
    return kept | {key: str(value) for key, value in says.items() if value is not None}


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


def _ref(text: str) -> VolumeRef:
    pool, _, name = text.partition("/")
    return VolumeRef(pool, name)
