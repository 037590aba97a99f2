"""What the pools of a node held moments ago: read once for all who ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, KilnError, NotFound, Unreachable
from kiln.platforms.libvirt.codes import ErrorCode
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.faults import broken, code_of, tolerating
from kiln.platforms.libvirt.marks import hidden
from kiln.platforms.libvirt.pools import active_pools, known
from kiln.platforms.libvirt.recent import Recent
from kiln.platforms.libvirt.xml.volume import told_volume
from kiln.ports.volumes import Volume, VolumeRef


class Contents:
    """The volumes of each pool by name, in one reading a pool."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._pools: dict[str, Recent[Volume]] = {}

    def get(self, ctx: Context, ref: VolumeRef) -> Volume | None:
        """The volume as it was a few seconds ago, None when it was not seen. Raises Unreachable."""
        try:
            return self._reading(ref.pool).get(ctx, ref.name)
        except (Unreachable, Cancelled):
            raise
        except KilnError as error:  # whoever asks for the one volume is told
            ctx.log.debug(f"the volumes of pool '{ref.pool}' are read one by one: {error}")
            return None

    def at(self, ctx: Context, path: str) -> Volume | None:
        """The volume that was stored at ``path`` a few seconds ago, None when it was not seen in a pool that was looked
        into. Raises Unreachable."""
        with self._lock:
            pools = list(self._pools)
        found = (self.get(ctx, VolumeRef(pool, path.rpartition("/")[2])) for pool in pools)
        return next((volume for volume in found if volume is not None and volume.path == path), None)

    def now(self, ctx: Context) -> list[Volume]:
        """The volumes of all running pools: those that are new are read, others told as they were a few seconds ago.
        One that stops or goes meanwhile, which others may do, has none. Raises as ``Link.run`` does."""
        names = self._link.run(ctx, "list storage pools", lambda opened: [name for name, _ in active_pools(opened)])
        found: list[Volume] = []
        for name in names:
            try:
                found += self._reading(name).now(ctx).values()
            except NotFound as error:
                ctx.log.debug(f"pool '{name}' has gone: {error}")
        return found

    @contextmanager
    def changing(self, ref: VolumeRef | None = None) -> Iterator[None]:
        """Around a change of a volume, or of any: nothing of it that was read before its end is told after it."""
        try:
            yield
        finally:
            with self._lock:
                for pool, reading in self._pools.items():
                    if ref is None or ref.pool == pool:
                        reading.drop(None if ref is None else ref.name)

    def _reading(self, pool: str) -> Recent[Volume]:
        with self._lock:
            if pool not in self._pools:
                self._pools[pool] = Recent(
                    self._link,
                    f"read the volumes of pool '{pool}'",
                    read_all=partial(_read_all, pool=pool),
                    seen=partial(_seen, pool=pool),
                    read=partial(_read, pool=pool),
                )
            return self._pools[pool]


def _read_all(opened: Opened, *, pool: str) -> dict[str, Volume]:
    found: dict[str, Volume] = {}
    with tolerating(ErrorCode.NO_STORAGE_POOL, ErrorCode.OPERATION_INVALID):
        for volume in known(opened, pool).handle.listAllVolumes(0):
            if not hidden(volume.name()):
                told = _told(volume, pool)
                if told is not None:
                    found[told.ref.name] = told
    return found


def _seen(opened: Opened, kept: Callable[[str], Volume | None], *, pool: str) -> Mapping[str, Volume | None]:
    """The names alone: with all the rest of what identifies a volume, listing them takes ten times as long."""
    with tolerating(ErrorCode.OPERATION_INVALID):  # it was stopped
        names = opened.handle.storagePoolLookupByName(pool).listVolumes()
        return {name: kept(name) for name in names if not hidden(name)}
    return {}


def _read(opened: Opened, name: str, *, pool: str) -> Volume | None:
    """None for one that has gone. One that cannot be read is an error: it may be built on what somebody wants to
    delete."""
    with tolerating(ErrorCode.NO_STORAGE_VOL, ErrorCode.NO_STORAGE_POOL, ErrorCode.OPERATION_INVALID):
        volume = opened.handle.storagePoolLookupByName(pool).storageVolLookupByName(name)
        return told_volume(volume.XMLDesc(0), pool)
    return None


def _told(volume: Any, pool: str) -> Volume | None:
    """The volume, None for one that cannot be read: it must not stand in the way of the others."""
    try:
        return told_volume(volume.XMLDesc(0), pool)
    except Exception as error:
        if code_of(error) is None or broken(error):
            raise
        return None
