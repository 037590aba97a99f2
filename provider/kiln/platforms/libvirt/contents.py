"""What the pools of a node held moments ago: read once for all who refresh."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, KilnError, Unreachable
from kiln.platforms.libvirt.codes import ErrorCode
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.faults import broken, code_of, tolerating
from kiln.platforms.libvirt.marks import hidden
from kiln.platforms.libvirt.pools import known
from kiln.platforms.libvirt.recent import Recent
from kiln.platforms.libvirt.xml.volume import told_volume
from kiln.ports.volumes import Volume, VolumeRef


class Contents:
    """The volumes of each pool, by name, in one reading a pool."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._pools: dict[str, Recent[dict[str, Volume]]] = {}

    def get(self, ctx: Context, ref: VolumeRef) -> Volume | None:
        """The volume as it was a few seconds ago, None when it was not seen. Raises Unreachable."""
        try:
            return self._reading(ref.pool).get(ctx).get(ref.name)
        except (Unreachable, Cancelled):
            raise
        except KilnError as error:  # whoever asks for the one volume is told
            ctx.log.debug(f"the volumes of pool '{ref.pool}' are read one by one: {error}")
            return None

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around a change to any volume: nothing that was read before its end is told after it."""
        try:
            yield
        finally:
            with self._lock:
                for reading in self._pools.values():
                    reading.drop()

    def _reading(self, pool: str) -> Recent[dict[str, Volume]]:
        with self._lock:
            if pool not in self._pools:
                self._pools[pool] = Recent(self._link, f"read the volumes of pool '{pool}'", partial(_read, pool=pool))
            return self._pools[pool]


def _read(opened: Opened, *, pool: str) -> dict[str, Volume]:
    found: dict[str, Volume] = {}
    with tolerating(ErrorCode.NO_STORAGE_POOL, ErrorCode.OPERATION_INVALID):
        for volume in known(opened, pool).handle.listAllVolumes(0):
            if not hidden(volume.name()):
                told = _told(volume, pool)
                if told is not None:
                    found[told.ref.name] = told
    return found


def _told(volume: Any, pool: str) -> Volume | None:
    """The volume, None for one that cannot be read: it must not stand in the way of the others."""
    try:
        return told_volume(volume.XMLDesc(0), pool)
    except Exception as error:
        if code_of(error) is None or broken(error):
            raise
        return None
