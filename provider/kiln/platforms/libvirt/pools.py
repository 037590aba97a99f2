"""The storage pools of one libvirt node."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kiln.framework.context import Context
from kiln.framework.errors import Conflict, KilnError, NotFound
from kiln.platforms.libvirt.codes import ErrorCode, ListPools, PoolCreate
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.faults import message_of, tolerating
from kiln.platforms.libvirt.locks import locked
from kiln.platforms.libvirt.paths import pool_directory
from kiln.platforms.libvirt.uris import is_local
from kiln.platforms.libvirt.xml.pool import directory_pool, told_pool
from kiln.ports.volumes import Pool

_DIRECTORIES = frozenset({"dir", "fs", "netfs"})
# Their volumes are what is plugged in or exported to the node: none can be made under a name of one's own.
_FIXED = frozenset({"disk", "iscsi", "iscsi-direct", "mpath", "scsi"})
_BUSY_SECONDS = 0.2
_OTHER = re.compile(r"source conflict with pool: '([^']+)'")


@dataclass(frozen=True)
class Known:
    """A pool looked up on a connection: its ``virStoragePool`` and what does not change about it."""

    handle: Any
    pool: Pool


def known(opened: Opened, name: str) -> Known:
    """The pool, looked up once per connection. Runs on a worker thread. Raises libvirtError."""
    found: Known | None = opened.pools.get(name)
    if found is None:
        handle = opened.handle.storagePoolLookupByName(name)
        found = Known(handle, told_pool(handle.XMLDesc(0), active=True))
        opened.pools[name] = found
    return found


def active_pools(opened: Opened) -> list[tuple[str, Any]]:
    """Name and ``virStoragePool`` of every running pool. Runs on a worker thread. Raises libvirtError."""
    return [(pool.name(), pool) for pool in opened.handle.listAllStoragePools(ListPools.ACTIVE)]


def discard(opened: Opened, name: str) -> None:
    """Stop a transient pool and remove its directory, which only a pool that is stopped, and so defined, can be asked
    for. Runs on a worker thread. Raises libvirtError."""
    pool = opened.handle.storagePoolLookupByName(name)
    pool = opened.handle.storagePoolDefineXML(pool.XMLDesc(0), 0)
    with tolerating(ErrorCode.OPERATION_INVALID):
        pool.destroy()
    with contextlib.suppress(Exception):  # somebody put something into it
        pool.delete(0)
    pool.undefine()
    opened.pools.pop(name, None)


class Pools:
    """Making, finding, refreshing and removing pools."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def get(self, ctx: Context, name: str) -> Pool:
        """The pool, read afresh. Raises NotFound."""
        pool = self._link.run(ctx, f"read storage pool '{name}'", lambda opened: _read(opened, name))
        # libvirt goes on to call a pool active until it next looks into the directory.
        lost = is_local(self._link.uri) and pool.type in _DIRECTORIES and _is_gone(pool.path)
        return replace(pool, lost=lost)

    def all(self, ctx: Context) -> list[Pool]:
        """All pools that volumes can be made in."""

        def work(opened: Opened) -> list[Pool]:
            found = []
            for handle in opened.handle.listAllStoragePools(0):
                with tolerating(ErrorCode.NO_STORAGE_POOL):  # gone since it was listed
                    found.append(told_pool(handle.XMLDesc(0), active=bool(handle.isActive())))
            return found

        pools = self._link.run(ctx, "list storage pools", work)
        return [pool for pool in pools if pool.type not in _FIXED]

    def discard(self, ctx: Context, name: str) -> None:
        """Remove a transient pool, and its directory when that is empty."""
        with contextlib.suppress(NotFound):
            self._link.run(ctx, f"remove storage pool '{name}'", lambda opened: discard(opened, name))

    def local_directory(self, ctx: Context, name: str) -> Path | None:
        """The pool's directory when it lies on this machine and this process may write in it. Raises NotFound."""
        if not is_local(self._link.uri):
            return None
        found: Known | None = self._link.open(ctx).pools.get(name)
        found = found or self._link.run(ctx, f"read storage pool '{name}'", lambda opened: known(opened, name))
        pool = found.pool
        if pool.type not in _DIRECTORIES or not pool.path:
            return None
        if pool.type != "dir" and not self.get(ctx, name).active:
            return None  # nothing is mounted there now
        path = Path(pool.path)
        return path if os.access(path, os.R_OK | os.W_OK | os.X_OK) else None

    def start(self, ctx: Context, name: str) -> bool:
        """Start the pool if it is stopped; False when there is no such pool."""

        def work(opened: Opened) -> None:
            handle = opened.handle.storagePoolLookupByName(name)
            if not handle.isActive():
                _create(handle, 0)

        try:
            self._link.run(ctx, f"start storage pool '{name}'", work)
        except NotFound:
            return False
        return True

    def make(self, ctx: Context, name: str, path: str | None) -> bool:
        """Define, build and start a directory pool; False when somebody else was faster.

        Raises:
            KilnError: no directory is given and none is known to be right, or the node refuses it.
        """
        directory = path or pool_directory(self._link.uri, name)
        if directory is None:
            raise KilnError(
                f"storage pool '{name}' is not on {self._link.uri} and has no directory",
                cause="the home directory of a session daemon on another machine is not known",
                action="set the pool's path, or make the pool there",
            )

        def work(opened: Opened) -> None:
            handle = opened.handle.storagePoolDefineXML(directory_pool(name, directory), 0)
            try:
                _create(handle, PoolCreate.WITH_BUILD)
                handle.setAutostart(1)
            except BaseException:
                with contextlib.suppress(Exception):
                    handle.undefine()
                raise

        try:
            self._link.run(ctx, f"make storage pool '{name}' in {directory}", work)
        except KilnError as error:
            if isinstance(error, Conflict) and self.start(ctx, name):
                return False
            if (taken := self._taken(error, name, directory)) is not None:
                raise taken from error
            raise
        return True

    def _taken(self, error: KilnError, name: str, directory: str) -> Conflict | None:
        """The error for a directory that belongs to a pool of another name, None when it is not that."""
        other = _OTHER.search(error.cause or "")
        if other is None:
            return None
        return Conflict(
            f"storage pool '{name}' cannot be made in {directory}",
            cause=f"the directory is that of storage pool '{other[1]}' already",
            action=f"use that pool, by the name '{other[1]}', or state another path",
        ).at(node=self._link.uri)

    def remove(self, ctx: Context, name: str, *, with_directory: bool) -> None:
        """Stop the pool, remove its directory if that is asked for and it is empty, and its definition."""

        def work(opened: Opened) -> None:
            handle = known(opened, name).handle
            opened.pools.pop(name, None)
            with tolerating(ErrorCode.OPERATION_INVALID):
                handle.destroy()
            if with_directory:
                with contextlib.suppress(Exception):  # a directory that somebody keeps something in stays
                    handle.delete(0)
            handle.undefine()

        self._link.run(ctx, f"remove storage pool '{name}'", work)

    def refresh(self, ctx: Context, name: str) -> None:
        """Have the node look into the pool again, one Kiln at a time; volumes being built are waited for."""
        doing = f"refresh storage pool '{name}'"

        def work(opened: Opened) -> bool:
            try:
                known(opened, name).handle.refresh(0)
            except Exception as error:
                if "asynchronous jobs" not in message_of(error):
                    raise
                return False
            return True

        with locked(ctx, self._link.uri, f"refresh of pool {name}"):
            while not self._link.run(ctx, doing, work):
                ctx.sleep(_BUSY_SECONDS, doing)


def _read(opened: Opened, name: str) -> Pool:
    handle = opened.handle.storagePoolLookupByName(name)
    return told_pool(handle.XMLDesc(0), active=bool(handle.isActive()))


def _is_gone(path: str) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # this user may not look there
        return False
    return False


def _create(handle: Any, flags: int) -> None:
    try:
        handle.create(flags)
    except Exception:
        if not handle.isActive():  # else another client was faster
            raise
